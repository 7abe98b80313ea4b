//! The completion scripts in the shells that they are for: options after a subcommand, also behind global ones.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test's helpers fail by panicking, as its test functions do, and say what is skipped"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

use vault_tests::command::{binary, end, run, vault_cli};
use vault_tests::pseudo_terminal::PseudoTerminal;

/// What is typed, and what has to be offered.
const OFFERED: [(&str, &str); 9] = [
    ("vault-cli seal --pati", "--patient"),
    ("vault-cli registrar certify --rol", "--role"),
    ("vault-cli --quiet seal --clini", "--clinician"),
    ("vault-cli open --allow", "--allow-cut-off"),
    ("vault-cli expo", "export"),
    ("vault-cli registrar certify --role pat", "patient"),
    // Petnames of the home: where an account is asked for.
    ("vault-cli seal talk.webm --patient ann", "anna-of-the-knee"),
    ("vault-cli seal talk.webm --clinician ann", "anna-of-the-knee"),
    ("vault-cli compare ann", "anna-of-the-knee"),
];

/// The shell's own program, and its script in a folder of its own.
fn shell(variable: &str, name: &str) -> Option<(PathBuf, tempfile::TempDir, PathBuf)> {
    let Some(program) = std::env::var_os(variable) else {
        eprintln!("skipped: {variable} names no {name}");
        return None;
    };
    let folder = tempfile::tempdir().unwrap();
    let script = run(folder.path(), ["completions", name]).text();
    run(folder.path(), ["name", &"ab".repeat(32), "anna-of-the-knee"]).text();
    let path = folder.path().join("script");
    std::fs::write(&path, script + "\n").unwrap();
    Some((program.into(), folder, path))
}

/// A path by which the program is found under its name.
fn path() -> String {
    let folder = binary("vault-cli");
    let folder = folder.parent().unwrap().display().to_string();
    std::env::var("PATH").map_or(folder.clone(), |path| format!("{folder}:{path}"))
}

#[test]
fn bash_completes_options_after_a_subcommand() {
    let Some((bash, folder, script)) = shell("BASH_BIN", "bash") else { return };
    let asks = r#"
        source "$1"
        [[ $(complete -p vault-cli) =~ -F\ ([^ ]+) ]]
        read -ra COMP_WORDS <<<"$2"
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMP_LINE=$2 COMP_POINT=${#2}
        "${BASH_REMATCH[1]}" vault-cli "${COMP_WORDS[-1]}" "${COMP_WORDS[-2]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    for (typed, offered) in OFFERED {
        let mut command = Command::new(&bash);
        command.args(["--norc", "-c", asks, "bash"]).arg(&script).arg(typed).env("PATH", path());
        command.env("VAULT_HOME", folder.path());
        let said = end(&mut command);
        assert_eq!(said.text(), offered, "{typed}: {}", said.stderr);
    }
}

#[test]
fn fish_completes_options_after_a_subcommand() {
    let Some((fish, folder, script)) = shell("FISH_BIN", "fish") else { return };
    for (typed, offered) in OFFERED {
        let mut command = Command::new(&fish);
        command.args(["--no-config", "-c", "source $argv[1]; complete -C $argv[2]"]).arg(&script).arg(typed);
        command.env("PATH", path()).env("HOME", folder.path()).env("VAULT_HOME", folder.path());
        let said = end(&mut command);
        let first = said.text();
        assert_eq!(first.split(['\t', '\n']).next(), Some(offered), "{typed}: {first} {}", said.stderr);
    }
}

#[test]
fn zsh_completes_options_after_a_subcommand() {
    let Some((zsh, folder, script)) = shell("ZSH_BIN", "zsh") else { return };
    for (typed, offered) in OFFERED {
        // In its line editor, as a person does: the key completes what is unique, and the function shows what became of
        // it.
        let mut terminal = zsh_at_its_prompt(&zsh, folder.path(), &script);
        terminal.type_keys(&format!("{typed}\t\r"));
        terminal.wait_for("typed:<");
        let shown = terminal.wait_for(">");
        let completed = shown.trim_end_matches('>').trim_end();
        assert_eq!(completed.split(' ').next_back(), Some(offered), "{typed}");
        terminal.type_keys("exit\r");
        terminal.end();
    }
}

fn zsh_at_its_prompt(zsh: &Path, folder: &Path, script: &Path) -> PseudoTerminal {
    let start = format!(
        "autoload -Uz compinit; compinit -u -D; source {}; compdef _vault-cli vault-cli\n\
         vault-cli() {{ print -r -- \"typed:<$*>\" }}\nPS1='ready> '\n",
        script.display()
    );
    std::fs::write(folder.join(".zshrc"), start).unwrap();
    let mut environment = vault_cli(folder);
    environment.env("PATH", path()).env("ZDOTDIR", folder);
    let mut terminal = PseudoTerminal::shell(&environment, 80, &format!("{} -d -i", zsh.display()));
    terminal.wait_for("ready> ");
    terminal
}
