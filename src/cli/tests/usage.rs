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

#[test]
fn every_help_has_examples() {
    fn visit(command: &clap::Command, path: &str) {
        let path = format!("{path} {}", command.get_name());
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(help.contains("Example") && help.contains("wakeful "), "{path}");
        command.get_subcommands().filter(|c| c.get_name() != "help").for_each(|c| visit(c, &path));
    }
    visit(&Cli::command(), "");
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
