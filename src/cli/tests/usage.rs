//! Arguments, help and errors.

use super::*;

#[test]
fn the_command_line_is_sound() {
    command().debug_assert();
    for shell in ["bash", "zsh", "fish"] {
        assert!(matches!(
            parse(&format!("completions {shell}")).unwrap().command,
            Command::Completions(_)
        ));
    }
}

#[test]
fn common_options_go_anywhere() {
    for line in ["--addr h:1 --json --deadline 5m status", "status --deadline 5m --json --addr h:1"]
    {
        let common = parse(line).unwrap().common;
        assert_eq!((common.addr.as_str(), common.json), ("h:1", true));
        assert_eq!(common.deadline, Duration::from_secs(300));
    }
}

#[test]
fn usage_is_refused() {
    for line in [
        "",
        "nonsense",
        "set a",
        "set a b --ttl 5",
        "set a b --ttl 5s --lease 1",
        "set a --nonsense b",
        "get",
        "del",
        "del --prefix",
        "get a --raw --json",
        "range --prefix",
        "range a --to c --prefix",
        "range a --all",
        "range a --limit 0",
        "watch a --from 1 --snapshot",
        "watch --puts-only --deletes-only",
        "wait a --exists --absent",
        "wait a --timeout 30",
        "lease grant",
        "compact",
        "txn form.json --set a b",
        "txn --if-value a",
        "completions tcsh",
        "job",
        "job push",
        "job push t x --lines",
        "job push t --lines --index a",
        "job push t --unique waiting",
        "job push t --priority 256",
        "job push t --delay 5",
        "job push t --at soon",
        "job push t --at 2026-12-01",
        "job push t --at 2026-12-01T18:00Z --delay 5s",
        "job push t --at 2026-12-01T18:00Z --wait-room 5s",
        "job push t --at 2026-12-01T18:00 --tz Nowhere/Land",
        "job push t --tz UTC",
        "job push t --lines --wait 5s",
        "job push t --raw",
        "job push t --wait 5s --raw --json",
        "job push t --backoff soon",
        "job work t",
        "job work t cat",
        "job work t --once --max-jobs 2 -- cat",
        "job work t --concurrency 0 -- cat",
        "job ls t --state running",
        "job replay t",
        "job replay t 1 --all",
        "job nack 1 1 --fail --release",
        "job ack 1",
        "job schedule nightly @daily",
        "topics show",
        "topics set",
        "topics set t --rate 10",
        "topics set t --order-retry never",
        "user ls --auth -",
    ] {
        let error = parse(line).err().unwrap_or_else(|| panic!("`{line}` is accepted"));
        assert_eq!(error.exit_code(), i32::from(Exit::Usage.code()), "{line}");
    }
}

#[test]
fn the_names_of_other_tools_are_understood_and_not_shown() {
    for (alias, name) in [
        ("put a b", "set a b"),
        ("ls a --prefix", "range a --prefix"),
        ("keys --all", "range --all"),
        ("rm a", "del a"),
        ("delete a", "del a"),
        ("ping", "status"),
    ] {
        let [alias, name] = [alias, name].map(|line| format!("{:?}", parse(line).unwrap().command));
        assert_eq!(alias, name);
    }
    for shown in command().get_subcommands() {
        assert_eq!(shown.get_visible_aliases().collect::<Vec<_>>(), [""; 0], "{shown}");
    }
}

/// Columns of the terminal that help is rendered for.
const COLUMNS: usize = 80;

/// Maximum number of lines of a short help.
const SHORT_LINES_MAX: usize = 50;

/// The common options that only a client of a server uses.
const CLIENT_OPTIONS: [&str; 6] =
    ["--addr", "--server", "--deadline", "--user", "--password-file", "--token"];

/// Calls `check` with every command except the load generator, and with the name of the top-level command it belongs to.
fn every_command(mut check: impl FnMut(&mut clap::Command, &str)) {
    fn visit(
        command: &mut clap::Command,
        top: Option<&str>,
        check: &mut impl FnMut(&mut clap::Command, &str),
    ) {
        check(command, top.unwrap_or_default());
        let listed = command.get_subcommands_mut();
        for inner in listed.filter(|inner| !["help", "bench"].contains(&inner.get_name())) {
            let name = inner.get_name().to_owned();
            visit(inner, Some(top.unwrap_or(&name)), check);
        }
    }
    let mut command = command().term_width(COLUMNS);
    command.build();
    visit(&mut command, None, &mut check);
}

/// Returns the options that a rendered help describes.
fn listed(help: &str) -> Vec<&str> {
    let described = help.split("Example").next().unwrap_or_default().lines();
    let options = described.filter_map(|line| {
        line.split_whitespace()
            .map(|word| word.trim_end_matches(','))
            .find(|it| it.starts_with("--"))
            .filter(|_| line.trim_start().starts_with('-'))
    });
    options.collect()
}

#[test]
fn every_help_has_examples() {
    every_command(|command, _| {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(help.contains("Example") && help.contains("wakeful "), "{command}");
    });
}

#[test]
fn every_help_fits_the_terminal() {
    let mut wrong = Vec::new();
    every_command(|command, _| {
        let short = command.render_help().to_string();
        let lines = short.lines().count();
        if lines > SHORT_LINES_MAX {
            wrong.push(format!("{command}: {lines} lines of short help\n{short}"));
        }
        let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        for help in [short, command.render_long_help().to_string(), examples] {
            let wide = help.lines().filter(|line| line.chars().count() > COLUMNS);
            wrong.extend(wide.map(|line| format!("{command}: {line}")));
        }
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_help_is_wrapped_by_the_terminal() {
    every_command(|command, _| {
        let arguments = command.get_arguments();
        let help = arguments.flat_map(|arg| [arg.get_help(), arg.get_long_help()]);
        for text in help.chain([command.get_about(), command.get_long_about()]).flatten() {
            let text = text.to_string();
            for paragraph in text.split("\n\n") {
                assert!(!paragraph.trim_end().contains('\n'), "{command}: {paragraph}");
            }
        }
    });
}

#[test]
fn client_options_are_listed_in_the_long_help_of_clients_only() {
    every_command(|command, top| {
        let (short, long) =
            (command.render_help().to_string(), command.render_long_help().to_string());
        let of_a_client = |option: &str| CLIENT_OPTIONS.contains(&option);
        let in_short: Vec<_> = listed(&short)
            .into_iter()
            .filter(|option| of_a_client(option) || option.starts_with("--tls"))
            .collect();
        assert!(in_short.is_empty(), "{command}: {in_short:?}");
        let in_long: Vec<_> = listed(&long).into_iter().filter(|it| of_a_client(it)).collect();
        match top {
            "serve" | "relay" | "config" | "completions" | "journal" | "restore" | "torture"
            | "user" | "role" => assert!(in_long.is_empty(), "{command}: {in_long:?}"),
            _ => assert_eq!(in_long, CLIENT_OPTIONS, "{command}"),
        }
    });
}

#[test]
fn errors_say_what_they_are() {
    let refusal =
        |code, details| [Answer::Refusal(Error::new(code, "no, because").with_details(details))];
    let resume = Details::Resume { revision: 8 };
    check(
        "get ''",
        refusal(ErrorCode::InvalidArgument, Details::None),
        expect![[r#"
        > Get(GetRequest { key: "", revision: 0 })
        error: no, because
        exit 2
    "#]],
    );
    check(
        "watch a",
        refusal(ErrorCode::EndedByOperator, resume),
        expect![[r#"
        > WatchRequest { range: Key("a"), from: Now, puts: true, deletes: true, previous: false, keys_only: false, progress: None, delivery: All }
        error: no, because
        exit 1
    "#]],
    );
    let limit = Details::Limit { name: "store.keys_max".into(), value: 5 };
    check(
        "set a 1 --json",
        refusal(ErrorCode::LimitExceeded, limit),
        expect![[r#"
        > Set(SetRequest { key: "a", value: "1", lease: 0, ttl: None, only_if_changed: true, return_previous: false })
        {"error":{"code":"LimitExceeded","message":"no, because","limit":"store.keys_max","value":5}}
        exit 1
    "#]],
    );
}
