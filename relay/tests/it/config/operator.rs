//! `[operator_mail]` and `[metrics]`: mistakes name key and value.

use super::check;

#[test]
fn mailboxes_their_server_and_the_counters_address_are_checked() {
    check(
        "mailboxes = [\"abuse@example.net\", ",
        "mailboxes = [\"abuse\", ",
        "operator_mail.mailboxes: abuse: the address needs a domain",
    );
    check(
        "mailboxes = [\"abuse@example.net\", ",
        "mailboxes = [\"postmaster\", ",
        "operator_mail.mailboxes: postmaster: needs its domain",
    );
    check(
        "mailboxes = [\"abuse@example.net\", \"postmaster@example.net\"]",
        "mailboxes = []",
        "operator_mail.mailboxes: 0: must name 1 to 100",
    );
    for wrong in ["198.51.100.25", "mail.example.net:25", "0.0.0.0:25"] {
        check(
            "deliver_to = \"198.51.100.25:25\"",
            &format!("deliver_to = \"{wrong}\""),
            &format!("operator_mail.deliver_to: {wrong}: must be the ADDRESS:PORT"),
        );
    }
    check(
        "deliver_to = \"198.51.100.25:25\"",
        "deliver_to = \"198.51.100.2:2525\"",
        "operator_mail.deliver_to: 198.51.100.2:2525: is a listener of this relay",
    );
    check(
        "# messages_per_hour = 20",
        "messages_per_hour = 0",
        "operator_mail.messages_per_hour: 0: must be between 1 and 3600",
    );
    for wrong in ["0.0.0.0:9125", "127.0.0.1"] {
        check(
            "#[metrics]\n#listen = \"127.0.0.1:9125\"",
            &format!("[metrics]\nlisten = \"{wrong}\""),
            &format!("metrics.listen: {wrong}: must be the ADDRESS:PORT of a loopback"),
        );
    }
}
