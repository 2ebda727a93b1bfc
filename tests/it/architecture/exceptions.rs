//! Known exceptions to the rules. The lists may only become shorter.

/// Files outside `rpc` that use its wire types.
pub(super) const WIRE_TYPES: &[&str] = &[
    "src/cli/job/cancel.rs",
    "src/cli/job/dead.rs",
    "src/cli/job/ended.rs",
    "src/cli/job/get.rs",
    "src/cli/job/hold.rs",
    "src/cli/job/list.rs",
    "src/cli/job/outcomes.rs",
    "src/cli/job/pause.rs",
    "src/cli/job/push.rs",
    "src/cli/job/schedule.rs",
    "src/cli/job/wait.rs",
    "src/cli/range.rs",
    "src/cli/services.rs",
    "src/cli/topics/mod.rs",
    "src/cli/topics/set.rs",
    "src/cli/topics/show.rs",
    "src/cli/torture/simulate/attack.rs",
    "src/cli/watch.rs",
    "src/cli/watchers.rs",
    "src/internals/fuzzing/json.rs",
    "src/internals/fuzzing/wire.rs",
    "src/internals/wire.rs",
];

/// Names of more than one type, with the number of types. `Next` is public twice: the next
/// interceptor of a call and, in `work`, a request for the next jobs of a queue.
pub(super) const NAMES: &[&str] = &["Next 2"];

/// Files above the limit of lines.
pub(super) const LONG_FILES: &[&str] = &[];
