# The daily commands of CONTRIBUTING.md; each is one line that also works by hand.

[private]
default:
    @just --list

# The whole job, for real, on this machine
demo:
    ./demo

# Tests, in two minutes
quick *arguments:
    tests/run quick {{arguments}}

# Tests, as CI runs them; or what `cargo test` is to run
test *arguments:
    tests/run {{arguments}}

# Everything there is, for hours
full:
    tests/run full

# The attack catalogue, as a table
hostile:
    tests/run hostile

# Faults, as a table
faults *number:
    tests/run faults {{number}}

# Lints, as CI has them
lint:
    cargo clippy --locked --workspace --all-targets --release -- -D warnings

# Formatting
fmt:
    cargo fmt --all

# Crates that know only whom they may, rooms without a circle, dependencies
structure:
    .ci/dependency-direction && .ci/module-circles && .ci/dependencies

# Everything that CI runs, in its order
ci:
    .ci/run
