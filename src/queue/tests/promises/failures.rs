//! J5 to J7: budgets, backoff, dead letters.

use expect_test::expect;

use crate::queue::tests::script::{check, check_with};
use crate::queue::tests::*;

/// Regression: the job was dropped silently after its last retry.
#[test]
fn j5_three_retries_are_four_runs_then_a_dead_letter() {
    check(
        "
        push mail one retries=3
        reserve mail
        retry 1/1 first
        later 70
        reserve mail
        retry 1/2 second
        later 70
        reserve mail
        retry 1/3 third
        later 70
        reserve mail
        retry 1/4 fourth
        later 1000
        reserve mail
        get 1
        ",
        expect![[r#"
            > push mail one retries=3
              1 Ready
            > reserve mail
              gets 1/1 one
            > retry 1/1 first
            > later 70
            > reserve mail
              gets 1/2 one
            > retry 1/2 second
            > later 70
            > reserve mail
              gets 1/3 one
            > retry 1/3 third
            > later 70
            > reserve mail
              gets 1/4 one
            > retry 1/4 fourth
              note of 1 Dead, epoch 4, 4 failures, 0 losses, errors ["first", "second", "third", "fourth"]
            > later 1000
            > reserve mail
              no job
            > get 1
              1 Dead, epoch 4, 4 failures, 0 losses, payload one, errors ["first", "second", "third", "fourth"]
        "#]],
    );
}

#[test]
fn j5_no_retries_are_one_run() {
    check(
        "
        push mail one retries=0
        reserve mail
        retry 1/1 wrong
        get 1
        topic mail
        ",
        expect![[r#"
            > push mail one retries=0
              1 Ready
            > reserve mail
              gets 1/1 one
            > retry 1/1 wrong
              note of 1 Dead, epoch 1, 1 failures, 0 losses, errors ["wrong"]
            > get 1
              1 Dead, epoch 1, 1 failures, 0 losses, payload one, errors ["wrong"]
            > topic mail
              pushed 1 = ready 0 + delayed 0 + reserved 0 + done 0 + dead 1 + evicted 0 + cancelled 0
        "#]],
    );
}

#[test]
fn j5_losses_have_a_budget_of_their_own() {
    check(
        "
        push mail one losses=1 retries=0
        reserve mail
        gone
        reserve mail visibility=10
        later 10
        get 1
        topic mail
        ",
        expect![[r#"
            > push mail one losses=1 retries=0
              1 Ready
            > reserve mail
              gets 1/1 one
            > gone
            > reserve mail visibility=10
              gets 1/2 one
            > later 10
              note of 1 Dead, epoch 2, 0 failures, 2 losses, errors ["its worker's connection was lost", "lost 2 times, at last: it was not touched within its visibility timeout"]
            > get 1
              1 Dead, epoch 2, 0 failures, 2 losses, payload one, errors ["its worker's connection was lost", "lost 2 times, at last: it was not touched within its visibility timeout"]
            > topic mail
              pushed 1 = ready 0 + delayed 0 + reserved 0 + done 0 + dead 1 + evicted 0 + cancelled 0
        "#]],
    );
}

#[test]
fn j5_snoozes_releases_and_stops_cost_nothing() {
    check(
        "
        push mail one retries=0 losses=0
        reserve mail
        snooze 1/1 after=10
        later 10
        reserve mail
        release 1/2
        reserve mail
        stop
        get 1
        ",
        expect![[r#"
            > push mail one retries=0 losses=0
              1 Ready
            > reserve mail
              gets 1/1 one
            > snooze 1/1 after=10
            > later 10
            > reserve mail
              gets 1/2 one
            > release 1/2
            > reserve mail
              gets 1/3 one
            > stop
            > get 1
              1 Ready, epoch 3, payload one
        "#]],
    );
}

#[test]
fn j5_fail_makes_a_dead_letter_at_once() {
    check(
        "
        push mail one
        reserve mail
        fail 1/1 hopeless
        get 1
        ",
        expect![[r#"
            > push mail one
              1 Ready
            > reserve mail
              gets 1/1 one
            > fail 1/1 hopeless
              note of 1 Dead, epoch 1, 1 failures, 0 losses, errors ["hopeless"]
            > get 1
              1 Dead, epoch 1, 1 failures, 0 losses, payload one, errors ["hopeless"]
        "#]],
    );
}

/// Regression: the job ran again at once.
#[test]
fn j6_a_failure_is_followed_by_a_pause_and_a_loss_is_not() {
    check(
        "
        push mail one backoff=500
        reserve mail
        retry 1/1 wrong
        reserve mail
        get 1
        later 499
        reserve mail
        later 1
        reserve mail
        retry 1/2 wrong after=20
        get 1
        later 20
        reserve mail
        gone
        reserve mail
        set mail backoff=30
        push mail two
        reserve mail
        retry 2/1 wrong
        get 2
        ",
        expect![[r#"
            > push mail one backoff=500
              1 Ready
            > reserve mail
              gets 1/1 one
            > retry 1/1 wrong
            > reserve mail
              no job
            > get 1
              1 Delayed, epoch 1, 1 failures, 0 losses, due 500, payload one, errors ["wrong"]
            > later 499
            > reserve mail
              no job
            > later 1
            > reserve mail
              gets 1/2 one
            > retry 1/2 wrong after=20
            > get 1
              1 Delayed, epoch 2, 2 failures, 0 losses, due 520, payload one, errors ["wrong", "wrong"]
            > later 20
            > reserve mail
              gets 1/3 one
            > gone
            > reserve mail
              gets 1/4 one
            > set mail backoff=30
              pushed 1 = ready 0 + delayed 0 + reserved 1 + done 0 + dead 0 + evicted 0 + cancelled 0
            > push mail two
              2 Ready
            > reserve mail
              gets 2/1 two
            > retry 2/1 wrong
            > get 2
              2 Delayed, epoch 1, 1 failures, 0 losses, due 550, payload two, errors ["wrong"]
        "#]],
    );
}

#[test]
fn j7_the_oldest_dead_letters_go_first_and_are_counted() {
    check_with(
        QueueConfig { dead_max: 2, dead_age_max: ms(1_000), ..steady() },
        "
        push mail dead times=3 retries=0
        reserve mail credits=3
        retry 1/1 wrong
        later 1
        retry 2/1 wrong
        later 1
        retry 3/1 wrong
        get 1
        topic mail
        later 1000
        topic mail
        ",
        expect![[r#"
            > push mail dead times=3 retries=0
              1 Ready, 2 Ready, 3 Ready
            > reserve mail credits=3
              gets 1/1 dead, 2/1 dead, 3/1 dead
            > retry 1/1 wrong
              note of 1 Dead, epoch 1, 1 failures, 0 losses, errors ["wrong"]
            > later 1
            > retry 2/1 wrong
              note of 2 Dead, epoch 1, 1 failures, 0 losses, errors ["wrong"]
            > later 1
            > retry 3/1 wrong
              note of 3 Dead, epoch 1, 1 failures, 0 losses, errors ["wrong"]
            > get 1
              1 Dead, epoch 1, 1 failures, 0 losses, outcome 1, errors ["wrong"]
            > topic mail
              pushed 3 = ready 0 + delayed 0 + reserved 0 + done 0 + dead 2 + evicted 1 + cancelled 0
            > later 1000
            > topic mail
              pushed 3 = ready 0 + delayed 0 + reserved 0 + done 0 + dead 0 + evicted 3 + cancelled 0
        "#]],
    );
}

#[test]
fn j7_a_replayed_dead_letter_has_full_budgets_and_its_past() {
    check(
        "
        push mail one retries=1
        reserve mail
        retry 1/1 first
        later 70
        reserve mail
        retry 1/2 second
        replay mail id=1
        get 1
        reserve mail
        retry 1/3 third
        later 70
        reserve mail
        done 1/4 sent
        topic mail
        ",
        expect![[r#"
            > push mail one retries=1
              1 Ready
            > reserve mail
              gets 1/1 one
            > retry 1/1 first
            > later 70
            > reserve mail
              gets 1/2 one
            > retry 1/2 second
              note of 1 Dead, epoch 2, 2 failures, 0 losses, errors ["first", "second"]
            > replay mail id=1
              1 changed
            > get 1
              1 Ready, epoch 2, payload one, errors ["first", "second"]
            > reserve mail
              gets 1/3 one
            > retry 1/3 third
            > later 70
            > reserve mail
              gets 1/4 one
            > done 1/4 sent
              result of 1 Done, epoch 4, 1 failures, 0 losses, output sent, errors ["first", "second", "third"]
            > topic mail
              pushed 1 = ready 0 + delayed 0 + reserved 0 + done 1 + dead 0 + evicted 0 + cancelled 0
        "#]],
    );
}

/// Regression: a dead letter could be replayed or expire, but not be deleted.
#[test]
fn j7_a_deleted_dead_letter_is_gone_and_counted_and_its_outcome_stays() {
    check(
        "
        push mail one retries=0 index=i
        push mail two retries=0
        push mail three retries=0
        reserve mail credits=3
        retry 1/1 wrong
        retry 2/1 wrong
        retry 3/1 wrong
        delete mail id=2
        delete mail id=2
        get 2
        topic mail
        replay mail id=2
        delete mail
        get mail i
        push mail one index=i
        topic mail
        delete post
        ",
        expect![[r#"
            > push mail one retries=0 index=i
              1 Ready
            > push mail two retries=0
              2 Ready
            > push mail three retries=0
              3 Ready
            > reserve mail credits=3
              gets 1/1 one, 2/1 two, 3/1 three
            > retry 1/1 wrong
              note of 1 Dead, epoch 1, 1 failures, 0 losses, errors ["wrong"]
            > retry 2/1 wrong
              note of 2 Dead, epoch 1, 1 failures, 0 losses, errors ["wrong"]
            > retry 3/1 wrong
              note of 3 Dead, epoch 1, 1 failures, 0 losses, errors ["wrong"]
            > delete mail id=2
              1 changed
            > delete mail id=2
              topic mail has no dead letter with the id 2; `job dead` lists those it has
            > get 2
              2 Dead, epoch 1, 1 failures, 0 losses, outcome 2, errors ["wrong"]
            > topic mail
              pushed 3 = ready 0 + delayed 0 + reserved 0 + done 0 + dead 2 + evicted 1 + cancelled 0
            > replay mail id=2
              topic mail has no dead letter with the id 2; `job dead` lists those it has
            > delete mail
              2 changed
            > get mail i
              1 Dead, epoch 1, 1 failures, 0 losses, outcome 1, errors ["wrong"]
            > push mail one index=i
              4 Ready
            > topic mail
              pushed 4 = ready 1 + delayed 0 + reserved 0 + done 0 + dead 0 + evicted 3 + cancelled 0
            > delete post
              there is no topic `post`; `topics` lists them
        "#]],
    );
}
