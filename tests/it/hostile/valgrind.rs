//! The worst cases again under valgrind: only it detects libssh's use of freed channels.

use std::process::Command;

use crate::support::alarm::watchdog;
use std::time::Duration;

/// Excludes those that leave a thread in libssh: its memory is lost on purpose.
const TESTS: [&str; 15] = [
    "hostile::after_close::nothing_after_the_close_alters_the_outcome",
    "hostile::after_close::a_channel_that_was_refused_is_deaf",
    "hostile::agent::a_message_that_is_too_long_ends_its_channel_and_half_a_message_is_nobodys",
    "hostile::agent::a_packet_size_that_changes_ends_the_connection_before_anything_is_written",
    "hostile::agent::answers_arrive_whole_in_tiny_packets",
    "hostile::agent::the_agent_hears_of_lists_signatures_and_session_binds_and_of_nothing_else",
    "hostile::answers::what_contradicts_itself_has_one_outcome",
    "hostile::answers::a_signals_text_is_clean_and_bounded",
    "hostile::interactive::questions_that_cannot_be_read_end_the_connection",
    "hostile::login::what_comes_before_the_login_is_refused",
    "hostile::packets::a_packet_size_without_room_does_not_matter_without_input",
    "hostile::rekeys::a_signature_that_is_none_is_a_matter_of_integrity",
    "hostile::rekeys::new_keys_for_no_data_end_the_connection",
    "hostile::unclosed::channels_that_nobody_closes_are_freed",
    "hostile::unclosed::the_text_of_a_signal_is_bounded",
];

#[test]
fn hostile_servers_leave_memory_intact() {
    let _dog = watchdog(Duration::from_secs(300), "hostile_valgrind");
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--error-exitcode=99", "--leak-check=full", "--errors-for-leak-kinds=definite,indirect"]);
    valgrind.arg("--quiet").arg(std::env::current_exe().expect("this program"));
    valgrind.args(["--exact", "--test-threads=1"]).args(TESTS);
    let output = valgrind.output().expect("valgrind (Debian: valgrind)");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {text}", output.status);
    assert!(text.contains(&format!("{} passed", TESTS.len())), "{text}");
}
