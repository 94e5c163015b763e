//! The guide "Coming from parallel-ssh" is complete and tested: every name of the reference has a
//! row there, and a test that shows its behaviour here.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const GUIDE: &str = include_str!("../docs/coming-from-parallel-ssh.md");

/// Every row of the guide's tables, by the name in its first cell, and the tests that prove it: a
/// file below `tests` or `src` without its extension, and a function in it.
const ROWS: &[(&str, &[(&str, &str)])] = &[
    (
        "hosts",
        &[
            ("tests/it/real/basic", "a_hundred_hosts_each_with_its_own_output"),
            ("tests/it/real/hosts", "hosts_come_from_whatever_can_be_iterated"),
            ("tests/it/real/hosts", "unchanged_hosts_keep_their_connections"),
            ("tests/it/sim/fleet", "a_host_that_is_named_twice_is_two_hosts"),
            ("tests/it/sim/mistakes", "a_fleet_without_hosts_has_no_outputs"),
        ],
    ),
    (
        "user",
        &[
            ("src/config/targets/tests", "user_and_port"),
            ("tests/it/real/host_config", "users_keys_and_aliases_of_one_host"),
        ],
    ),
    (
        "password",
        &[
            ("tests/it/real/auth", "a_password_opens_the_host_and_follows_the_keys"),
            ("tests/it/real/auth", "passphrase_or_password_opens_an_encrypted_key"),
        ],
    ),
    (
        "port",
        &[
            ("tests/it/real/host_config", "ports_of_two_servers"),
            ("tests/it/sim/mistakes", "settings_that_cannot_work_are_refused"),
        ],
    ),
    (
        "pkey",
        &[
            ("tests/it/real/auth", "every_kind_of_key_opens_the_host"),
            ("tests/it/real/auth", "a_password_opens_the_host_and_follows_the_keys"),
        ],
    ),
    (
        "cert_file",
        &[
            ("tests/it/real/certificates", "a_certificate_of_each_kind_opens_the_host"),
            ("tests/it/real/certificates", "hosts_have_certificates_of_their_own"),
        ],
    ),
    ("num_retries", &[("tests/it/sim/retries", "each_stage_is_tried_again_or_not_as_documented")]),
    (
        "retry_delay",
        &[
            ("tests/it/sim/retries", "a_lost_connection_is_made_again_as_often_and_as_late_as_configured"),
            ("tests/it/sim/retries", "with_backoff_hosts_that_fail_together_do_not_come_back_together"),
        ],
    ),
    (
        "timeout",
        &[
            ("tests/it/real/timing", "silent_hosts_do_not_hold_up_a_good_one_and_fail_in_time"),
            ("src/session/tests/deadlines", "each_stage_has_its_own_limit_from_its_own_start"),
        ],
    ),
    (
        "pool_size",
        &[
            ("tests/it/sim/pool", "no_more_hosts_than_places_connect_at_once"),
            ("tests/it/sim/pool", "commands_run_on_more_hosts_than_there_are_places"),
            ("tests/it/real/hosts", "the_pool_grows_and_shrinks"),
        ],
    ),
    (
        "host_config",
        &[
            ("src/config/targets/tests", "a_wrong_number_of_configurations_names_both"),
            ("tests/it/real/host_config", "identity_files_are_off_for_one_host"),
            ("tests/it/real/host_config", "each_host_has_its_own_time_limit"),
        ],
    ),
    (
        "allow_agent",
        &[
            (
                "tests/it/real/agent/login",
                "the_agent_comes_after_the_named_key_and_before_the_identity_files",
            ),
            ("tests/it/real/agent/login", "of_three_keys_only_the_one_that_the_host_wants_signs"),
            ("tests/it/real/agent/login", "fifty_hosts_share_one_connection_to_the_agent"),
            ("tests/it/real/agent/login", "a_host_can_have_the_agent_switched_off"),
        ],
    ),
    (
        "identity_auth",
        &[
            ("tests/it/real/auth", "identity_files_are_offered_in_order_and_useless_ones_passed_over"),
            ("src/config/targets/tests", "the_usual_identity_files_are_tried_in_the_usual_order"),
        ],
    ),
    (
        "forward_ssh_agent",
        &[
            ("tests/it/real/agent/forward", "commands_see_the_keys_and_sign_with_them"),
            (
                "tests/it/real/agent/forward",
                "the_agent_is_forwarded_to_the_hosts_that_are_named_and_to_no_other",
            ),
        ],
    ),
    (
        "gssapi_auth",
        &[
            ("tests/it/real/gssapi", "a_ticket_opens_the_host"),
            ("tests/it/real/gssapi", "a_libssh_without_gssapi_is_an_error_before_anything_is_dialled"),
            ("tests/it/real/gssapi", "a_silent_kdc_fails_only_the_hosts_that_need_it"),
        ],
    ),
    ("gssapi_server_identity", &[("tests/it/real/gssapi", "the_server_identity_overrides_the_hosts_name")]),
    ("gssapi_client_identity", &[("tests/it/real/gssapi", "the_client_identity_chooses_among_tickets")]),
    ("gssapi_delegate_credentials", &[("tests/it/real/gssapi", "credentials_are_delegated_only_if_asked")]),
    (
        "proxy_host",
        &[
            ("tests/it/sim/proxy", "a_thousand_hosts_behind_one_connection"),
            ("tests/it/real/proxy/flow", "a_chain_of_two_bastions"),
            ("src/config/targets/tests/proxies", "proxy_host_alone_has_the_documented_defaults"),
        ],
    ),
    (
        "proxy_port",
        &[
            ("src/config/targets/tests/proxies", "proxy_fields_are_inherited_one_by_one"),
            ("tests/it/real/proxy/flow", "host_config_proxy_fields_and_no_proxy"),
        ],
    ),
    (
        "proxy_user",
        &[
            ("src/config/targets/tests/proxies", "proxy_host_alone_has_the_documented_defaults"),
            ("tests/it/real/proxy/flow", "two_users_of_one_bastion_share_nothing"),
        ],
    ),
    ("proxy_password", &[("tests/it/real/proxy/flow", "proxy_password_logs_in")]),
    ("proxy_pkey", &[("tests/it/real/proxy/flow", "host_config_proxy_fields_and_no_proxy")]),
    (
        "tunnel_timeout +",
        &[("tests/it/real/proxy/errors", "a_bastion_that_says_nothing_is_named_by_its_own_limit")],
    ),
    ("ipv6_only +", &[("tests/it/real/family", "a_name_is_reached_by_the_family_that_is_wanted")]),
    ("compress +", &[("tests/it/real/compression", "both_directions_are_compressed_if_both_sides_want_it")]),
    (
        "keyboard_interactive +",
        &[
            ("tests/it/real/interactive", "the_password_answers_pam"),
            ("tests/it/hostile/interactive", "several_rounds_are_answered_in_order"),
        ],
    ),
    (
        "keepalive_seconds +",
        &[("tests/it/real/keepalive", "a_server_that_is_stopped_while_a_command_runs_is_dead")],
    ),
    ("_auth_thread_pool +", &[("tests/it/real/timing", "hosts_that_authenticate_slowly_wait_side_by_side")]),
    ("command", &[("tests/it/real/command", "each_host_runs_its_own_text")]),
    (
        "sudo",
        &[
            ("tests/it/real/sudo", "a_password_is_given_where_it_is_asked_for"),
            ("src/command/tests/mod", "the_forms_are_those_of_parallel_ssh_byte_for_byte"),
        ],
    ),
    (
        "user (run_command)",
        &[
            ("tests/it/real/command", "sudo_gets_the_words_that_it_understands"),
            ("src/command/tests/mod", "users_are_checked_and_quoted_where_a_shell_would_read_them"),
        ],
    ),
    (
        "stop_on_errors",
        &[
            ("tests/it/real/join", "stop_on_errors_tells_the_first_failure_and_stops_nobody"),
            ("tests/it/sim/fleet", "the_error_returned_is_the_first_in_time_and_the_others_go_on"),
        ],
    ),
    (
        "use_pty",
        &[
            ("tests/it/real/prepare", "use_pty_gives_the_terminal_of_parallel_ssh_and_merges_the_streams"),
            ("tests/it/real/prepare", "a_terminal_of_another_kind_and_size"),
        ],
    ),
    (
        "host_args",
        &[
            ("tests/it/real/command", "each_host_runs_its_own_text"),
            ("tests/it/real/command", "one_wrong_entry_keeps_every_host_from_starting"),
        ],
    ),
    (
        "%s, %d, %(name)s, %(name)d, %%",
        &[
            ("src/command/tests/template", "values_in_order"),
            ("src/command/tests/template", "values_by_name"),
        ],
    ),
    (
        "%05d, %-8s, %.2f, %i, %x, %r and all other formats",
        &[("src/command/tests/template", "what_does_not_fit_is_named")],
    ),
    ("shell", &[("tests/it/real/command", "a_shell_sees_quotes_and_blanks_as_they_were_given")]),
    (
        "encoding",
        &[
            ("tests/it/real/encoding", "a_command_reaches_the_host_in_its_encoding"),
            ("tests/it/real/encoding", "output_is_text_in_its_encoding"),
            ("tests/it/real/encoding", "a_strict_reader_loses_nothing"),
        ],
    ),
    (
        "timeout (run_command)",
        &[
            ("tests/it/real/timing", "a_read_timeout_counts_silence"),
            ("tests/it/real/stop", "a_time_limit_ends_the_command_and_the_connection_lives"),
        ],
    ),
    (
        "read_timeout",
        &[
            ("tests/it/real/timing", "a_read_timeout_keeps_the_partial_line"),
            ("tests/it/real/host_config", "each_host_has_its_own_read_timeout"),
            ("src/config/targets/tests", "time_limits"),
        ],
    ),
    ("return_list", &[("tests/it/real/basic", "a_hundred_hosts_each_with_its_own_output")]),
    ("HostOutput.host", &[("tests/it/real/basic", "duplicates_names_and_ipv6_are_hosts_of_their_own")]),
    ("HostOutput.alias", &[("tests/it/real/host_config", "users_keys_and_aliases_of_one_host")]),
    (
        "HostOutput.stdout",
        &[
            ("tests/it/real/lines", "line_ends_and_strange_bytes"),
            ("tests/it/sim/faults/stream", "output_before_the_fault_can_be_read_and_the_error_comes_last"),
        ],
    ),
    ("HostOutput.stderr", &[("tests/it/real/lines", "the_two_streams_do_not_mix")]),
    (
        "HostOutput.stdin",
        &[
            ("tests/it/real/input", "ten_megabytes_come_back_unaltered"),
            ("tests/it/real/input", "the_end_of_the_input_is_told_once"),
        ],
    ),
    (
        "HostOutput.exit_code",
        &[
            ("tests/it/real/basic", "exit_states_are_told_as_they_are"),
            ("tests/it/real/join", "an_exit_code_is_there_without_a_join_and_never_before_the_end"),
        ],
    ),
    ("HostOutput.exception", &[("tests/it/sim/fleet", "faults_of_some_hosts_do_not_touch_the_others")]),
    ("HostOutput.encoding", &[("tests/it/real/encoding", "the_encoding_can_be_changed_between_two_lines")]),
    ("HostOutput.read_timeout", &[("tests/it/real/timing", "a_read_timeout_counts_silence")]),
    (
        "HostOutput.fully_qualified_command +",
        &[("src/command/tests/mod", "the_forms_are_those_of_parallel_ssh_byte_for_byte")],
    ),
    (
        "HostOutput.client, HostOutput.channel, HostOutput.buffers",
        &[("tests/it/real/basic", "outputs_outlive_their_client")],
    ),
    (
        "join",
        &[
            ("tests/it/real/timing", "a_join_timeout_is_one_total_and_tells_who_is_where"),
            ("tests/it/real/channels", "a_join_that_times_out_leaves_input_open_and_lists_who_is_where"),
            (
                "tests/it/real/join",
                "joining_with_consume_output_drops_what_is_printed_and_keeps_the_exit_code",
            ),
            ("tests/it/real/join", "a_join_timeout_lists_what_was_never_started"),
        ],
    ),
    (
        "finished",
        &[
            ("tests/it/real/basic", "two_commands_run_side_by_side_on_one_connection"),
            ("tests/it/real/join", "nothing_to_wait_for_is_finished_and_joined_at_once"),
        ],
    ),
    (
        "get_last_output",
        &[("tests/it/real/basic", "last_output_is_that_of_the_latest_command_also_when_it_failed")],
    ),
    (
        "connect_auth",
        &[("tests/it/real/channels", "connect_logs_in_everywhere_and_commands_use_the_connections")],
    ),
    (
        "disconnect",
        &[("tests/it/real/stop", "disconnect_closes_every_connection_and_the_next_command_connects_again")],
    ),
    (
        "close_channel",
        &[
            ("tests/it/real/stop", "close_channel_kills_what_runs_on_a_terminal"),
            ("tests/it/real/stop", "a_cancelled_command_is_gone_and_what_it_printed_is_kept"),
        ],
    ),
    (
        "reset_output_generators",
        &[("tests/it/real/join", "a_new_iterator_goes_on_where_the_last_one_stopped")],
    ),
    (
        "copy_file",
        &[
            ("tests/it/real/transfer/copies", "a_file_goes_to_all_hosts_and_comes_back_from_each"),
            ("tests/it/real/transfer/copies", "a_copy_that_fails_is_an_error_of_a_strict_join"),
        ],
    ),
    (
        "copy_remote_file",
        &[
            ("tests/it/real/transfer/copies", "a_file_goes_to_all_hosts_and_comes_back_from_each"),
            ("tests/it/real/transfer/copies", "the_second_copy_of_a_host_overwrites_nothing"),
        ],
    ),
    (
        "recurse, copy_args, suffix_separator",
        &[
            ("tests/it/real/transfer/copies", "a_directory_is_copied_on_request_only"),
            ("tests/it/real/transfer/copies", "copy_args_are_for_both_paths_and_replace_the_suffix"),
        ],
    ),
    (
        "scp_send, scp_recv +",
        &[
            ("tests/it/real/transfer/copies", "a_file_goes_to_all_hosts_and_comes_back_from_each"),
            ("tests/it/real/transfer/without_sftp", "openssh_without_its_subsystem_receives_by_scp"),
            ("tests/it/real/transfer/without_sftp", "openssh_without_its_subsystem_sends_by_scp"),
        ],
    ),
    (
        "HostConfig",
        &[
            ("src/config/targets/tests", "each_setting_tells_profiles_apart"),
            ("src/config/targets/tests", "what_cannot_work_names_the_host"),
        ],
    ),
    (
        "HostConfig.private_key",
        &[
            ("tests/it/real/host_config", "users_keys_and_aliases_of_one_host"),
            ("tests/it/real/host_config", "the_key_of_the_third_host_is_checked_by_build"),
        ],
    ),
    ("HostConfig.alias", &[("tests/it/real/host_config", "users_keys_and_aliases_of_one_host")]),
    (
        "HostConfig.auth_thread_pool +",
        &[("tests/it/real/timing", "hosts_that_authenticate_slowly_wait_side_by_side")],
    ),
    (
        "attributes of the client (hosts, user, cmds, pool, ...)",
        &[
            ("tests/it/real/hosts", "a_list_that_is_refused_changes_nothing"),
            ("tests/it/real/hosts", "the_pool_grows_and_shrinks"),
        ],
    ),
    (
        "SSHClient",
        &[("tests/it/real/channels", "connect_logs_in_everywhere_and_commands_use_the_connections")],
    ),
    (
        "open_shell +",
        &[
            ("tests/it/real/shells", "open_shells_run_commands_in_order_on_all_hosts"),
            ("tests/it/real/shells", "a_shell_on_a_terminal_is_closed_by_exit"),
            ("tests/it/real/shells", "if_a_host_fails_the_shells_of_the_others_are_closed"),
            ("tests/it/real/input", "a_shell_is_a_command_with_input"),
        ],
    ),
    (
        "run_shell_commands +",
        &[
            ("tests/it/real/shells", "open_shells_run_commands_in_order_on_all_hosts"),
            ("tests/it/real/shells", "commands_of_several_threads_are_not_mixed"),
            ("tests/it/real/shells", "more_than_a_window_may_be_written_before_anything_is_read"),
            (
                "tests/it/hostile/shells",
                "a_shell_that_does_not_read_holds_up_no_other_and_is_an_error_in_time",
            ),
        ],
    ),
    (
        "join_shells +",
        &[
            ("tests/it/real/shells", "join_shells_has_one_limit_for_all"),
            ("tests/it/real/shells", "hosts_that_die_between_the_calls_have_errors"),
        ],
    ),
    (
        "InteractiveShell +",
        &[
            ("tests/it/real/shells", "a_shell_ends_with_its_own_status"),
            ("tests/it/real/shells", "a_dropped_shell_is_closed"),
        ],
    ),
    ("host_logger, enable_host_logger +", &[("tests/it/real/lines", "the_two_streams_do_not_mix")]),
    (
        "logger, enable_logger, enable_debug_logger +",
        &[("tests/it/real/secrets", "no_secret_is_logged_or_shown")],
    ),
    (
        "DEFAULT_RETRIES, RETRY_DELAY, IDENTITIES",
        &[
            ("tests/it/sim/retries", "each_stage_is_tried_again_or_not_as_documented"),
            ("src/config/targets/tests", "the_usual_identity_files_are_tried_in_the_usual_order"),
        ],
    ),
    (
        "PKeyFileError",
        &[
            ("tests/it/real/auth", "an_unusable_key_file_is_an_error_of_build"),
            ("tests/it/real/certificates", "an_unusable_certificate_is_an_error_of_build"),
            ("tests/it/real/host_config", "the_key_of_the_third_host_is_checked_by_build"),
        ],
    ),
    ("AuthenticationError", &[("tests/it/real/auth", "a_refusal_names_user_tried_and_offered")]),
    (
        "UnknownHostError",
        &[
            ("tests/it/real/resolver", "each_failure_has_its_name"),
            ("tests/it/real/resolver", "a_resolver_that_cannot_be_reached_is_no_unknown_host"),
        ],
    ),
    (
        "NoIPv6AddressFoundError +",
        &[("tests/it/real/family", "an_address_of_another_family_is_refused_before_anything_is_sent")],
    ),
    (
        "ConnectionError",
        &[
            ("tests/it/real/peers", "the_port_is_closed"),
            ("tests/it/real/peers", "each_address_of_a_name_is_tried"),
        ],
    ),
    ("HostArgumentError", &[("tests/it/real/command", "one_wrong_entry_keeps_every_host_from_starting")]),
    ("TypeError", &[("src/command/tests/template", "what_does_not_fit_is_named")]),
    ("KeyError", &[("src/command/tests/template", "what_does_not_fit_is_named")]),
    (
        "ProxyError",
        &[
            ("tests/it/real/proxy/errors", "proxy_error_of_a_bastion_that_forbids_it"),
            ("tests/it/real/proxy/errors", "a_bastion_killed_in_the_middle_of_commands"),
        ],
    ),
    (
        "Timeout",
        &[
            ("tests/it/real/timing", "a_slow_authentication_is_cut_off"),
            ("tests/it/real/descriptors", "an_exec_timeout_names_its_stage"),
            ("tests/it/sim/fleet", "join_counts_one_time_limit_for_all_and_says_who_is_late"),
        ],
    ),
    (
        "SessionError",
        &[
            ("tests/it/real/channels", "a_channel_beyond_max_sessions_is_refused_by_name"),
            ("tests/it/real/peers", "a_server_with_other_algorithms_only_has_no_common_one"),
        ],
    ),
    (
        "HostConfigError, ValueError, InvalidAPIUseError",
        &[
            ("tests/it/sim/mistakes", "settings_that_cannot_work_are_refused"),
            ("src/config/targets/tests", "what_cannot_work_names_the_host"),
        ],
    ),
    (
        "UnicodeEncodeError, LookupError",
        &[("tests/it/real/encoding", "a_wrong_label_and_a_text_without_a_code_start_nothing")],
    ),
    ("UnicodeDecodeError", &[("tests/it/real/encoding", "a_strict_reader_loses_nothing")]),
    (
        "SFTPError, SFTPIOError, SCPError",
        &[
            ("tests/it/real/transfer/copies", "a_copy_that_fails_is_an_error_of_a_strict_join"),
            ("tests/it/real/transfer/files", "what_fails_names_the_path_and_the_cause"),
        ],
    ),
    (
        "ShellError +",
        &[
            ("tests/it/real/shells", "open_shells_run_commands_in_order_on_all_hosts"),
            ("tests/it/hostile/shells", "what_is_refused_is_named_with_advice"),
        ],
    ),
    (
        "SSHError, ssh.exceptions.*",
        &[
            ("tests/it/sim/faults/handshake", "an_end_of_the_connection_is_told_as_such"),
            ("tests/it/real/peers", "a_peer_that_is_no_ssh_server_is_told_as_such"),
        ],
    ),
];

/// Every public name of parallel-ssh 2.16's libssh client, and of its native client where that has
/// more: parameters, methods, attributes, exceptions, helpers.
const NAMES: &[&str] = &[
    "alias",
    "allow_agent",
    "auth",
    "auth_thread_pool",
    "AuthenticationError",
    "AuthenticationException",
    "BufferData",
    "buffers",
    "cert_file",
    "channel",
    "client",
    "close_channel",
    "cmds",
    "command",
    "compress",
    "connect_auth",
    "ConnectionError",
    "ConnectionErrorException",
    "consume_output",
    "copy_args",
    "copy_file",
    "copy_remote_file",
    "DEFAULT_RETRIES",
    "disconnect",
    "eagain",
    "eagain_write",
    "enable_debug_logger",
    "enable_host_logger",
    "enable_logger",
    "encoding",
    "exception",
    "execute",
    "exit_code",
    "finished",
    "flush",
    "forward_ssh_agent",
    "fully_qualified_command",
    "get_exit_status",
    "get_last_output",
    "gssapi_auth",
    "gssapi_client_identity",
    "gssapi_delegate_credentials",
    "gssapi_server_identity",
    "host",
    "host_args",
    "host_config",
    "host_logger",
    "HostArgumentError",
    "HostArgumentException",
    "HostConfigError",
    "HostOutput",
    "HostOutputBuffers",
    "hosts",
    "IDENTITIES",
    "identity_auth",
    "InvalidAPIUseError",
    "ipv6_only",
    "join",
    "join_shells",
    "keepalive_seconds",
    "keyboard_interactive",
    "logger",
    "mkdir",
    "NoIPv6AddressFoundError",
    "num_retries",
    "open_session",
    "open_shell",
    "password",
    "pkey",
    "PKeyFileError",
    "poll",
    "pool",
    "pool_size",
    "port",
    "private_key",
    "proxy_host",
    "proxy_password",
    "proxy_pkey",
    "proxy_port",
    "proxy_user",
    "ProxyError",
    "read_output",
    "read_output_buffer",
    "read_stderr",
    "read_timeout",
    "recurse",
    "retry_delay",
    "RETRY_DELAY",
    "run_command",
    "run_shell_commands",
    "scp_recv",
    "scp_send",
    "SCPError",
    "SessionError",
    "sftp_get",
    "sftp_put",
    "SFTPError",
    "SFTPIOError",
    "shell",
    "ShellError",
    "sock",
    "SSHError",
    "SSHException",
    "stderr",
    "stdin",
    "stdout",
    "stop_on_errors",
    "sudo",
    "suffix_separator",
    "timeout",
    "Timeout",
    "tunnel_timeout",
    "UnknownHostError",
    "UnknownHostException",
    "use_pty",
    "user",
    "wait_finished",
    "write",
];

/// The first cells of the guide's tables, without the code quotes.
fn names_in_guide() -> Vec<String> {
    let mut names = Vec::new();
    let mut in_table = false;
    for line in GUIDE.lines() {
        let is_row = line.starts_with('|');
        if is_row && in_table && !line.starts_with("|---") {
            let cell = line.trim_matches('|').split(" | ").next().unwrap_or_default();
            names.push(cell.trim().replace('`', ""));
        }
        // The first line of a table is its header.
        in_table = is_row;
    }
    names
}

#[test]
fn every_row_has_its_tests_and_every_test_its_row() {
    let named: Vec<String> = names_in_guide();
    let listed: Vec<&str> = ROWS.iter().map(|(name, _)| *name).collect();
    assert_eq!(named, listed, "the guide's rows, and the tests' list of them");
    let distinct: HashSet<&&str> = listed.iter().collect();
    assert_eq!(distinct.len(), listed.len(), "a name has one row");
}

#[test]
fn every_name_of_the_reference_is_in_the_guide() {
    // Code spans hold the names; in a row of a table, those of both columns and of the remarks.
    let in_code: HashSet<&str> = GUIDE
        .lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .flat_map(|span| span.split(|c: char| !c.is_alphanumeric() && c != '_'))
        .collect();
    let missing: Vec<&&str> = NAMES.iter().filter(|name| !in_code.contains(**name)).collect();
    assert!(missing.is_empty(), "names without a word in the guide: {missing:?}");
}

/// The Rust programs beside them are compiled as documentation tests.
#[test]
fn the_python_programs_of_the_guide_parse() {
    let programs: Vec<&str> =
        GUIDE.split("```python\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(programs.len(), GUIDE.matches("```rust,no_run\n").count(), "one program in each language");
    for program in programs {
        let mut python = Command::new("python3");
        python.args(["-c", "import ast, sys; ast.parse(sys.argv[1])", program]);
        let parsed = python.output().unwrap_or_else(|error| panic!("python3: {error}"));
        assert!(parsed.status.success(), "{program}\n{}", String::from_utf8_lossy(&parsed.stderr));
    }
}

#[test]
fn every_test_named_here_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut missing = Vec::new();
    for (name, tests) in ROWS {
        assert!(!tests.is_empty(), "{name} has no test");
        for (file, test) in *tests {
            let path: PathBuf = root.join(format!("{file}.rs"));
            let text = fs::read_to_string(&path).unwrap_or_default();
            let is_test = text.contains(&format!("fn {test}(")) || text.contains(&format!(" {test}:"));
            if !is_test {
                missing.push(format!("{name}: no {test} in {file}.rs"));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}
