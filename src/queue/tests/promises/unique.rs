//! J8: unique indexes.

use expect_test::expect;

use crate::queue::tests::script::check;

/// Regression: jobs were distinguished by their addresses in memory.
#[test]
fn j8_an_index_is_taken_until_the_job_is_finished() {
    check(
        "
        push mail one index=i
        push mail other index=i
        push post other index=i
        reserve mail
        push mail other index=i
        done 1/1 sent
        push mail next index=i
        get mail i
        ",
        expect![[r#"
            > push mail one index=i
              1 Ready
            > push mail other index=i
              1 Ready already
            > push post other index=i
              2 Ready
            > reserve mail
              gets 1/1 one
            > push mail other index=i
              1 Reserved already
            > done 1/1 sent
              result of 1 Done, epoch 1, output sent
            > push mail next index=i
              3 Ready
            > get mail i
              3 Ready, epoch 0, payload next
        "#]],
    );
}

#[test]
fn j8_or_until_it_is_handed_out() {
    check(
        "
        push mail one index=i unique=waiting
        push mail other index=i unique=waiting
        reserve mail
        push mail next index=i unique=waiting
        release 1/1
        get mail i
        push mail more index=i
        ",
        expect![[r#"
            > push mail one index=i unique=waiting
              1 Ready
            > push mail other index=i unique=waiting
              1 Ready already
            > reserve mail
              gets 1/1 one
            > push mail next index=i unique=waiting
              2 Ready
            > release 1/1
            > get mail i
              2 Ready, epoch 0, payload next
            > push mail more index=i
              2 Ready already
        "#]],
    );
}

#[test]
fn j8_or_for_a_time_after_it_finished() {
    check(
        "
        push mail one index=i unique=1000
        reserve mail
        done 1/1 sent
        push mail other index=i
        snapshot
        restart
        later 999
        push mail other index=i
        later 1
        push mail other index=i
        ",
        expect![[r#"
            > push mail one index=i unique=1000
              1 Ready
            > reserve mail
              gets 1/1 one
            > done 1/1 sent
              result of 1 Done, epoch 1, output sent
            > push mail other index=i
              1 Done already
            > snapshot
            > restart
            > later 999
            > push mail other index=i
              1 Done already
            > later 1
            > push mail other index=i
              2 Ready
        "#]],
    );
}

/// Regression: the index stayed taken, and the next push found the cancelled job.
#[test]
fn j8_a_job_that_is_cancelled_gives_its_index_up() {
    check(
        "
        push mail one index=i unique=1000
        cancel 1
        push mail two index=i unique=1000
        clear mail
        push mail three index=i unique=1000
        snapshot
        restart
        get mail i
        reserve mail
        cancel 3
        push mail four index=i
        ",
        expect![[r#"
            > push mail one index=i unique=1000
              1 Ready
            > cancel 1
              1 Cancelled, epoch 0
              note of 1 Cancelled, epoch 0
            > push mail two index=i unique=1000
              2 Ready
            > clear mail
              1 changed
              cleared 2
            > push mail three index=i unique=1000
              3 Ready
            > snapshot
            > restart
            > get mail i
              3 Ready, epoch 0, payload three
            > reserve mail
              gets 3/1 three
            > cancel 3
              3 Cancelled, epoch 1
              note of 3 Cancelled, epoch 1
            > push mail four index=i
              4 Ready
        "#]],
    );
}

/// Regression: there was no way to free an index that stays taken after its job.
#[test]
fn j8_the_index_of_a_finished_job_can_be_freed() {
    check(
        "
        push mail one index=i unique=1000
        free mail i
        reserve mail
        free mail i
        done 1/1 sent
        push mail two index=i unique=1000
        free mail i
        free mail i
        push mail two index=i unique=1000
        free mail j
        free post i
        snapshot
        restart
        push mail three index=i
        ",
        expect![[r#"
            > push mail one index=i unique=1000
              1 Ready
            > free mail i
              job 1 is not finished; cancel it to free its index
            > reserve mail
              gets 1/1 one
            > free mail i
              job 1 is not finished; cancel it to free its index
            > done 1/1 sent
              result of 1 Done, epoch 1, output sent
            > push mail two index=i unique=1000
              1 Done already
            > free mail i
              1 changed
            > free mail i
              0 changed
            > push mail two index=i unique=1000
              2 Ready
            > free mail j
              0 changed
            > free post i
              there is no topic `post`; `topics` lists them
            > snapshot
            > restart
            > push mail three index=i
              2 Ready already
        "#]],
    );
}

/// The dead letter is found by its index until another job has it.
#[test]
fn j8_a_freed_index_still_names_its_dead_letter() {
    check(
        "
        push mail one index=i unique=1000 retries=0
        reserve mail
        retry 1/1 wrong
        free mail i
        get mail i
        push mail two index=i unique=1000
        get mail i
        replay mail id=1
        get mail i
        cancel 2
        get mail i
        ",
        expect![[r#"
            > push mail one index=i unique=1000 retries=0
              1 Ready
            > reserve mail
              gets 1/1 one
            > retry 1/1 wrong
              note of 1 Dead, epoch 1, 1 failures, 0 losses, errors ["wrong"]
            > free mail i
              1 changed
            > get mail i
              1 Dead, epoch 1, 1 failures, 0 losses, payload one, errors ["wrong"]
            > push mail two index=i unique=1000
              2 Ready
            > get mail i
              2 Ready, epoch 0, payload two
            > replay mail id=1
              1 changed
            > get mail i
              2 Ready, epoch 0, payload two
            > cancel 2
              2 Cancelled, epoch 0
              note of 2 Cancelled, epoch 0
            > get mail i
              2 Cancelled, epoch 0, outcome 2
        "#]],
    );
}

/// While a job runs that holds its index only while waiting, the index is free.
#[test]
fn j8_an_index_that_only_names_its_job_is_free() {
    check(
        "
        push mail one index=i unique=waiting
        free mail i
        reserve mail
        free mail i
        push mail two index=i unique=waiting
        ",
        expect![[r#"
            > push mail one index=i unique=waiting
              1 Ready
            > free mail i
              job 1 is not finished; cancel it to free its index
            > reserve mail
              gets 1/1 one
            > free mail i
              0 changed
            > push mail two index=i unique=waiting
              2 Ready
        "#]],
    );
}
