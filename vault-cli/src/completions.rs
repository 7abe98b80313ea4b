//! Completion scripts: what `clap` makes of the grammar, and the petnames of a home where an account is asked for. They
//! come from `vault-cli name`, which asks for no passphrase and no server.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::arguments::Arguments;

/// Petnames in bash: those of the home that is typed, or of the usual one.
const BASH: &str = r#"_vault_cli_petnames() {
    local at home=()
    for ((at = 1; at < COMP_CWORD; at++)); do
        if [[ ${COMP_WORDS[at]} == --home ]]; then home=(--home "${COMP_WORDS[at + 1]}"); fi
    done
    command vault-cli --quiet "${home[@]}" name 2>/dev/null | cut -d ' ' -f 1
}

"#;

const ZSH: &str = r#"_vault_cli_petnames() {
    local -a typed home petnames
    typed=(${(z)BUFFER})
    local at=${typed[(i)--home]}
    (( at < $#typed )) && home=(--home ${(Q)typed[at + 1]})
    petnames=(${${(f)"$(command vault-cli --quiet $home name 2>/dev/null)"}%% *})
    compadd -a petnames
}

"#;

const FISH: &str = r#"function __vault_cli_petnames
    set -l typed (commandline -opc)
    set -l home
    if set -l at (contains -i -- --home $typed)
        set home --home $typed[(math $at + 1)]
    end
    command vault-cli --quiet $home name 2>/dev/null | string replace -r ' .*' ''
end
complete -c vault-cli -n "__fish_vault_cli_using_subcommand compare" -f -a "(__vault_cli_petnames)"
"#;

/// The script for a shell.
pub(crate) fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "vault-cli", &mut script);
    let script = String::from_utf8_lossy(&script);
    match shell {
        Shell::Bash => bash(&script),
        Shell::Zsh => zsh(&script),
        Shell::Fish => fish(&script),
        _ => script.into_owned(),
    }
}

fn bash(script: &str) -> String {
    // It spells the program's own hyphen in two ways (clap #6421), and finds no option after a subcommand.
    let mut script = script.replace("vault__subcmd__cli", "vault__cli");
    for option in ["--patient)", "--clinician)"] {
        let files = format!("{option}\n                    COMPREPLY=($(compgen -f \"${{cur}}\"))");
        let petnames = format!(
            "{option}\n                    COMPREPLY=($(compgen -W \"$(_vault_cli_petnames)\" -- \"${{cur}}\"))"
        );
        script = script.replace(&files, &petnames);
    }
    let compare = "        vault__cli__subcmd__compare)\n            opts=\"";
    script = script.replace(compare, &format!("{compare}$(_vault_cli_petnames) "));
    format!("{BASH}{script}")
}

fn zsh(script: &str) -> String {
    let script = script.replace(":ACCOUNT:_default'", ":ACCOUNT:_vault_cli_petnames'").replace(
        "The other person'\\''s account:_default'",
        "The other person'\\''s account:_vault_cli_petnames'",
    );
    // Its first line says that the file is a completion.
    match script.split_once('\n') {
        Some((first, rest)) => format!("{first}\n{ZSH}{rest}"),
        None => script,
    }
}

fn fish(script: &str) -> String {
    let named = |line: &str| {
        let asks = ["-l patient ", "-l clinician "].iter().any(|option| line.contains(option));
        if asks { format!("{line} -f -a \"(__vault_cli_petnames)\"\n") } else { format!("{line}\n") }
    };
    script.lines().map(named).chain([FISH.to_owned()]).collect()
}
