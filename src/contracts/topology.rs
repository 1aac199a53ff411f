//! The wiring table, shown: as text, as JSON, as a graph; and what is wrong with it.
//!
//! Owns what `fullsend wiring` prints. A reader is a group or a viewer; a group whose service is not in this version is marked, and a
//! viewer covers its channel until then.

use std::fmt;
use std::fmt::Write as _;

use serde::Serialize;

use super::channel::{ChannelKind, ChannelName, ServiceName};
use super::wiring::Route;

/// Who views every channel: history and doorbell, no group, nothing held back for it.
pub const VIEWERS: &[ServiceName] = &[ServiceName::ControlRoom];

/// A service in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Party {
    /// Which.
    pub service: ServiceName,
    /// Whether this version contains it; if not, nobody speaks or listens in its name yet.
    pub built: bool,
}

/// A row of the table, for showing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The channel.
    pub channel: ChannelName,
    /// Work or notice.
    pub kind: ChannelKind,
    /// The names of what it carries.
    pub types: Vec<&'static str>,
    /// Who says it.
    pub publishers: Vec<Party>,
    /// Who must handle each message once.
    pub groups: Vec<Party>,
    /// Who looks on.
    pub viewers: Vec<ServiceName>,
}

/// The table's rows, with who views them.
pub fn rows(table: &[Route], viewers: &[ServiceName]) -> Vec<Row> {
    let parties = |services: &[ServiceName]| {
        let party = |service: &ServiceName| Party { service: *service, built: service.is_built() };
        services.iter().map(party).collect()
    };
    let row = |route: &Route| Row {
        channel: route.channel,
        kind: route.kind,
        types: route.types.iter().map(|known| known.name).collect(),
        publishers: parties(route.publishers),
        groups: parties(route.groups),
        viewers: viewers.to_vec(),
    };
    table.iter().map(row).collect()
}

/// What a channel lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Lacks {
    /// Nobody says anything on it.
    Publisher,
    /// Nobody hears what is said on it.
    Subscriber,
}

/// A channel that nobody speaks on, or nobody listens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Orphan {
    /// The channel.
    pub channel: ChannelName,
    /// What it lacks.
    pub lacks: Lacks,
}

impl fmt::Display for Orphan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let channel = self.channel;
        match self.lacks {
            Lacks::Publisher => write!(
                f,
                "nobody says anything on {channel}; name a publisher in the wiring table, or take the channel out"
            ),
            Lacks::Subscriber => write!(
                f,
                "nobody hears what is said on {channel}; give it a group of a service that is built, or a viewer"
            ),
        }
    }
}

/// The channels without a publisher, and those without a subscriber: no group of a service that is built, and no viewer.
pub fn orphans(rows: &[Row]) -> Vec<Orphan> {
    let lacking = |row: &Row| {
        let silent = row.publishers.is_empty().then_some(Lacks::Publisher);
        let heard = row.groups.iter().any(|party| party.built) || !row.viewers.is_empty();
        let unheard = (!heard).then_some(Lacks::Subscriber);
        let channel = row.channel;
        [silent, unheard].into_iter().flatten().map(move |lacks| Orphan { channel, lacks })
    };
    rows.iter().flat_map(lacking).collect()
}

const HEADS: [&str; 6] = ["CHANNEL", "KIND", "PUBLISHERS", "GROUPS", "VIEWERS", "TYPES"];

/// What stands below [`HEADS`].
fn cells(row: &Row) -> [String; 6] {
    [
        row.channel.to_string(),
        kind(row.kind).to_owned(),
        names(&row.publishers),
        names(&row.groups),
        list(row.viewers.iter().map(|service| service.as_str().to_owned())),
        list(row.types.iter().map(|&name| name.to_owned())),
    ]
}

/// The table as plain text; a service that is not in this version has a `*`. Aligned where it fits into `width` columns (none for
/// as many as it takes), else a block for each channel.
pub fn as_text(rows: &[Row], width: Option<usize>) -> String {
    let table = aligned(rows);
    let mut out = match width {
        Some(width) if table.lines().any(|line| line.chars().count() > width) => blocks(rows, width),
        _ => table,
    };
    if rows.iter().any(|row| row.publishers.iter().chain(&row.groups).any(|party| !party.built)) {
        let note = "* not in this version: it says nothing, and its group is created when it first starts; a viewer covers it.";
        out.push('\n');
        wrap(&mut out, note.split_inclusive(' '), 0, width.unwrap_or(usize::MAX));
    }
    out
}

fn aligned(rows: &[Row]) -> String {
    let lines: Vec<_> = [HEADS.map(str::to_owned)].into_iter().chain(rows.iter().map(cells)).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..HEADS.len()).map(width).collect();
    let mut out = String::new();
    for line in &lines {
        let padded: Vec<String> = line.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}")).collect();
        out.push_str(padded.join("  ").trim_end());
        out.push('\n');
    }
    out
}

fn blocks(rows: &[Row], width: usize) -> String {
    let mut out = String::new();
    for row in rows {
        let [channel, kind, rest @ ..] = cells(row);
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{}{channel}  {kind}", if out.is_empty() { "" } else { "\n" });
        for (head, cell) in HEADS[2..].iter().zip(rest) {
            let head = format!("  {:10}  ", head.to_lowercase());
            out.push_str(&head);
            wrap(&mut out, cell.split_inclusive(' '), head.len(), width);
        }
    }
    out
}

/// Appends words (each with the space after it) as lines of at most `width`, further ones indented.
fn wrap<'a>(out: &mut String, words: impl Iterator<Item = &'a str>, indent: usize, width: usize) {
    let mut column = indent;
    for word in words {
        let long = word.trim_end().chars().count();
        if column > indent && column + long > width {
            out.truncate(out.trim_end().len());
            let _ = write!(out, "\n{:indent$}", "");
            column = indent;
        }
        out.push_str(word);
        column += word.chars().count();
    }
    out.push('\n');
}

/// The table as a Mermaid graph: services are boxes, channels are rounded, what is not in this version is dashed.
pub fn as_mermaid(rows: &[Row]) -> String {
    let mut out = String::from("flowchart LR\n");
    for row in rows {
        let channel = row.channel.short();
        // Writing to a string cannot fail.
        let _ = writeln!(out, "  c_{channel}([{}])", row.channel);
        for party in &row.publishers {
            let arrow = if party.built { "-->" } else { "-.->" };
            let _ = writeln!(out, "  {0}[{0}] {arrow} c_{channel}", party.service);
        }
        for party in &row.groups {
            let arrow = if party.built { "==>" } else { "-.->" };
            let _ = writeln!(out, "  c_{channel} {arrow} {0}[{0}]", party.service);
        }
        for viewer in &row.viewers {
            let _ = writeln!(out, "  c_{channel} -. views .-> {viewer}_view[{viewer}]");
        }
    }
    out
}

fn kind(kind: ChannelKind) -> &'static str {
    match kind {
        ChannelKind::Work => "work",
        ChannelKind::Notice => "notice",
    }
}

fn names(parties: &[Party]) -> String {
    let mark = |party: &Party| if party.built { "" } else { "*" };
    list(parties.iter().map(|party| format!("{}{}", party.service, mark(party))))
}

fn list(names: impl Iterator<Item = String>) -> String {
    let names: Vec<_> = names.collect();
    if names.is_empty() { "-".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;

    use super::*;
    use crate::contracts::WIRING;

    /// The channel tables of CONTRACTS: channel, types, publishers, groups. The echo channel, and the echo group beside the
    /// orchestrator's, are additions for `doctor` and tests.
    const CONTRACT: &str = "
        discord_raw | discord_message, idea_submit, action_complete, command, config_update | discord, control_room | watcher
        to_orchestrator | escalation, metric_alert, periodic_summary, experiment_ready, design_started, design_failed, fullsend_started, fullsend_completed, fullsend_failed, experiment_success, experiment_error, api_key_required, tool_complete, tool_build_failed, builder_started, roundtable_request, roundtable_concluded, learning_recorded | watcher, redis_agent, fullsend, builder, roundtable, control_room, orchestrator | orchestrator
        from_orchestrator | orchestrator_response, watcher_response, status_update, action_request, idea_ack, idea_request, learning_share, win_alert, error | orchestrator, watcher, builder, gate, fullsend, executor | discord
        to_fullsend | experiment_request, experiment_submit | orchestrator, control_room | fullsend
        builder_tasks | tool_prd | orchestrator, fullsend | builder
        builder_results | tool_built, tool_build_failed | builder, executor | fullsend
        experiments | experiment_created | fullsend | executor
        schedules | schedule_created, schedule_due, collection_due | fullsend, executor, gate, watcher | executor
        execute_now | execute_now, sample_experiment | orchestrator, fullsend, control_room, executor | executor
        metrics | run_started, items_processed, run_completed, error, look_again, event | executor, control_room, redis_agent, gate | redis_agent
        experiment_results | experiment_completed, experiment_failed | executor | fullsend, orchestrator
        roundtable | roundtable_topic | orchestrator, control_room | roundtable
        proposals | proposal | orchestrator, fullsend, builder, executor, memory, ledger, gate | gate
        approvals | approval_created, approval_completed | gate | orchestrator, fullsend, builder, executor, discord
        approval_verdicts | approval_verdict | control_room, discord | gate
        control | kill_experiment, restore_experiment, pause_experiment, resume_experiment, cancel_run, hold, go, alert_acknowledge, alert_resolve, budget_set, rule_drop, suppression_set | control_room, discord, orchestrator, watcher | gate
        alerts | alert_triggered, alert_acknowledged, alert_resolved | redis_agent, gate, ledger, supervisor, bus, orchestrator, memory, fullsend, executor | discord
        audit | audit_record | gate |
        dead_letter | dead_letter | bus |
        echo | echo_request, echo_reply | control_room, echo | echo
        llm_calls | llm_start, llm_delta, llm_complete | watcher, orchestrator, fullsend, builder, redis_agent, roundtable, control_room, executor |
        health | heartbeat, service_state | supervisor |
        costs | cost_recorded, budget_warning, budget_exceeded | ledger |
    ";

    const NOTICES: [ChannelName; 3] = [ChannelName::LlmCalls, ChannelName::Health, ChannelName::Costs];

    fn real() -> Vec<Row> {
        rows(&WIRING, VIEWERS)
    }

    fn services(parties: &[Party]) -> Vec<&'static str> {
        parties.iter().map(|party| party.service.as_str()).collect()
    }

    #[test]
    fn the_table_is_the_contract() {
        let split = |cell: &str| -> Vec<String> {
            let names = cell.split(',').map(|name| name.trim().to_owned());
            names.filter(|name| !name.is_empty()).collect()
        };
        let contract: Vec<_> = CONTRACT
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(|line| line.split('|').map(split).collect::<Vec<_>>())
            .collect();
        assert_eq!(contract.len(), WIRING.len());
        for (row, expected) in real().iter().zip(contract) {
            assert_eq!(expected[0], [row.channel.short()]);
            assert_eq!(row.types, expected[1], "types of {}", row.channel);
            assert_eq!(services(&row.publishers), expected[2], "publishers of {}", row.channel);
            assert_eq!(services(&row.groups), expected[3], "groups of {}", row.channel);
            let notice = NOTICES.contains(&row.channel);
            assert_eq!(row.kind == ChannelKind::Notice, notice, "kind of {}", row.channel);
            assert_eq!(row.channel.as_str(), format!("fullsend:{}", row.channel.short()));
        }
    }

    #[test]
    fn no_channel_is_an_orphan() {
        assert_eq!(orphans(&real()), []);
    }

    #[test]
    fn a_planted_orphan_is_reported() {
        const SILENT: Route = Route {
            channel: ChannelName::Metrics,
            kind: ChannelKind::Work,
            types: &[],
            publishers: &[],
            groups: &[ServiceName::Echo],
        };
        const UNHEARD: Route =
            Route { channel: ChannelName::Experiments, publishers: &[ServiceName::Bus], groups: &[], ..SILENT };
        // A group of a service that is not in this version hears nothing.
        const NOT_YET: Route = Route {
            channel: ChannelName::Schedules,
            publishers: &[ServiceName::Bus],
            groups: &[ServiceName::Builder],
            ..SILENT
        };
        let table = [SILENT, UNHEARD, NOT_YET];
        let found = |viewers: &[ServiceName]| -> Vec<_> {
            let orphans = orphans(&rows(&table, viewers));
            orphans.into_iter().map(|orphan| (orphan.channel, orphan.lacks)).collect()
        };
        assert!(!ServiceName::Builder.is_built(), "choose a service that is not built for this test");
        assert_eq!(
            found(&[]),
            [
                (ChannelName::Metrics, Lacks::Publisher),
                (ChannelName::Experiments, Lacks::Subscriber),
                (ChannelName::Schedules, Lacks::Subscriber),
            ]
        );
        assert_eq!(found(VIEWERS), [(ChannelName::Metrics, Lacks::Publisher)]);
        let said = Orphan { channel: ChannelName::Metrics, lacks: Lacks::Publisher };
        assert!(said.to_string().starts_with("nobody says anything on fullsend:metrics"));
    }

    #[test]
    fn on_a_narrow_terminal_each_channel_is_a_block_and_nothing_is_missing() {
        let (wide, narrow) = (as_text(&real(), None), as_text(&real(), Some(80)));
        assert!(narrow.lines().all(|line| line.len() <= 80 && !line.ends_with(' ')), "{narrow}");
        let words = |text: &str| -> std::collections::BTreeSet<String> {
            let words = text.split([' ', ',', '\n']).filter(|word| !word.is_empty());
            words.map(str::to_lowercase).collect()
        };
        let missing: Vec<_> = words(&wide).difference(&words(&narrow)).cloned().collect();
        assert_eq!(missing, ["channel", "kind"], "the heads of what leads a block");
        assert!(narrow.starts_with("fullsend:discord_raw  work\n  publishers  discord*, control_room\n"), "{narrow}");
        let wrapped =
            "  types       discord_message, idea_submit, action_complete, command,\n              config_update\n";
        assert!(narrow.contains(wrapped), "{narrow}");
        assert_eq!(as_text(&real(), Some(10_000)), wide);
    }

    #[test]
    fn the_text_is_aligned_and_marks_what_is_not_there() {
        let text = as_text(&real(), None);
        let lines: Vec<_> = text.lines().collect();
        let column = lines[0].find("PUBLISHERS").unwrap();
        let row = lines.iter().find(|line| line.starts_with("fullsend:builder_results ")).unwrap();
        assert!(row[column..].starts_with("builder*, executor  "), "{row}");
        assert!(lines.iter().all(|line| !line.ends_with(' ')));
        assert!(text.contains("* not in this version"));
        let dead_letter = lines.iter().find(|line| line.starts_with("fullsend:dead_letter ")).unwrap();
        assert!(dead_letter[column..].starts_with("bus "), "{dead_letter}");
    }

    #[test]
    fn json_has_every_row_with_its_parties() {
        let json = serde_json::to_value(real()).unwrap();
        let echo = json.as_array().unwrap().iter().find(|row| row["channel"] == "fullsend:echo").unwrap();
        assert_eq!(
            *echo,
            serde_json::json!({
                "channel": "fullsend:echo",
                "kind": "work",
                "types": ["echo_request", "echo_reply"],
                "publishers": [{"service": "control_room", "built": true}, {"service": "echo", "built": true}],
                "groups": [{"service": "echo", "built": true}],
                "viewers": ["control_room"],
            })
        );
    }

    #[test]
    fn the_graph_has_an_arrow_for_every_party() {
        let graph = as_mermaid(&real());
        assert!(graph.starts_with("flowchart LR\n"));
        let arrows = graph.lines().filter(|line| line.contains('>')).count();
        let parties =
            real().iter().map(|row| row.publishers.len() + row.groups.len() + row.viewers.len()).sum::<usize>();
        assert_eq!(arrows, parties);
        for line in [
            "  c_echo([fullsend:echo])",
            "  echo[echo] --> c_echo",
            "  c_echo ==> echo[echo]",
            "  fullsend[fullsend] --> c_to_orchestrator",
            "  builder[builder] -.-> c_to_orchestrator",
        ] {
            assert!(graph.lines().any(|found| found == line), "{line}");
        }
    }
}
