//! What each action of the room does.
//!
//! Actions of layers are done by their layers. Must never be reached while a layer has the keys.

pub(crate) mod experiments;

use chrono::TimeDelta;

use super::lists::Step;
use super::{Effect, LetterDeed, Model, Saying, TWICE};
use crate::approvals::Record;
use crate::contracts::TraceId;
use crate::contracts::envelope::read_time;
use crate::contracts::messages::{AcknowledgeAlert, CancelRun, Control, Go, Hold, ResolveAlert, RestoreExperiment};
use crate::contracts::untrusted::sanitize_line;
use crate::tui::actions::{Action, needs_sight, screen_of};
use crate::tui::draw::text;
use crate::tui::layers::{self, Layer};
use crate::tui::replay::Seek;
use crate::tui::screens::content::Target;
use crate::tui::screens::{self, Pane, Screen};
use crate::tui::store::{Line, Row};
use crate::tui::theme::Role;

/// How long after a kill it is taken back without a question.
const UNDONE_AT_ONCE: TimeDelta = TimeDelta::minutes(10);

/// Columns by which a column of panes is made wider at once.
const WIDER: i16 = 2;

/// Does it.
pub(crate) fn perform(model: &mut Model, action: Action) -> Vec<Effect> {
    if let Some(screen) = screen_of(action) {
        go_to(model, screen);
        return Vec::new();
    }
    if model.store.playing.is_some() && says(action) {
        model.tell(Role::Warn, "this is a replay: nothing can be said or done from here");
        return Vec::new();
    }
    if let Some(screen) = needs_sight(action).filter(|screen| *screen != model.screen) {
        go_to(model, screen);
        let key = model.keymap.short(action).unwrap_or_default();
        model.tell(Role::Text, format!("look at what is selected first; {key} then: {}", action.row().short));
        return Vec::new();
    }
    match action {
        Action::ReplayPlay => return vec![Effect::Seek(Seek::Toggle)],
        Action::ReplayForward => return vec![Effect::Seek(Seek::Messages(1))],
        Action::ReplayBack => return vec![Effect::Seek(Seek::Messages(-1))],
        Action::ReplayMinuteForward => return vec![Effect::Seek(Seek::Time(TimeDelta::minutes(1)))],
        Action::ReplayMinuteBack => return vec![Effect::Seek(Seek::Time(TimeDelta::minutes(-1)))],
        Action::ReplayFaster => return vec![Effect::Seek(Seek::Faster)],
        Action::ReplaySlower => return vec![Effect::Seek(Seek::Slower)],
        Action::ReplayStart => return vec![Effect::Seek(Seek::Start)],
        Action::ReplayEnd => return vec![Effect::Seek(Seek::End)],
        Action::Inject => open(model, |model| Layer::Inject(Box::new(layers::inject::Inject::open(model)))),
        Action::NeedsYou => open(model, |model| Layer::NeedsYou(layers::needs_you::NeedsYou::open(model, None))),
        Action::Filter => open(model, |model| Layer::Filter(layers::filter::FilterLayer::open(&model.filter))),
        Action::Palette => open(model, |_| Layer::Palette(layers::palette::Palette::default())),
        Action::Help => open(model, |_| Layer::Help(layers::help::Help::default())),
        Action::Open => show(model),
        Action::Kill => kill(model),
        Action::Undo => return undo(model),
        Action::Hold => return hold(model),
        Action::Go => return let_go(model),
        Action::Pause => return with_focus(model, Model::toggle_pause),
        Action::Up => return with_focus(model, |model, pane, area| model.go(pane, area, Step::By(-1))),
        Action::Down => return with_focus(model, |model, pane, area| model.go(pane, area, Step::By(1))),
        Action::PageUp => return with_focus(model, |model, pane, area| model.go(pane, area, Step::Page(-1))),
        Action::PageDown => return with_focus(model, |model, pane, area| model.go(pane, area, Step::Page(1))),
        Action::First => return with_focus(model, |model, pane, area| model.go(pane, area, Step::First)),
        Action::Last => return with_focus(model, |model, pane, area| model.go(pane, area, Step::Last)),
        Action::NextPane => next_pane(model, 1),
        Action::PreviousPane => next_pane(model, -1),
        Action::Zoom => model.is_zoomed = !model.is_zoomed,
        Action::Wider => widen(model, WIDER),
        Action::Narrower => widen(model, -WIDER),
        Action::Back => return back(model),
        Action::ShowTrace => return show_trace(model),
        Action::Theme => open(model, |model| Layer::Themes(layers::themes::Themes::open(model))),
        Action::Mouse => {
            model.has_mouse = !model.has_mouse;
            model.is_unsaved = true;
            let words = if model.has_mouse { "the mouse selects here" } else { "the mouse selects in the terminal" };
            model.tell(Role::Text, words);
            return vec![Effect::Mouse(model.has_mouse)];
        }
        Action::Suspend => return vec![Effect::Suspend],
        Action::Redraw => return vec![Effect::Redraw],
        Action::Quit => return quit(model),
        Action::ReplayLetter => letter(model, LetterDeed::Replay),
        Action::DropLetter => letter(model, LetterDeed::Drop),
        Action::SetBudget => set_budget(model),
        Action::StartTopic => {
            go_to_unless_there(model, Screen::Roundtable);
            let channel = crate::contracts::ChannelName::Roundtable;
            open(model, |model| Layer::Inject(Box::new(layers::inject::Inject::on(model, channel))));
        }
        Action::EditNote | Action::EditNoteOutside => return edit_note(model, action == Action::EditNoteOutside),
        Action::NoteHistory => {
            go_to_unless_there(model, Screen::Notes);
            let (layer, effect) = layers::history::History::open(screens::notes::focused(model));
            model.layers.push(Layer::History(layer));
            return vec![effect];
        }
        Action::PauseExperiment => return experiments::pause(model),
        Action::RunExperiment => return experiments::run(model),
        Action::SampleExperiment => return experiments::sample_selected(model),
        Action::RecordNumber => experiments::record(model),
        Action::EditSpec => experiments::request(model, true),
        Action::CloneSpec => experiments::request(model, false),
        Action::NextMetric => experiments::turn_metric(model, false),
        Action::PreviousMetric => experiments::turn_metric(model, true),
        Action::AcknowledgeAlert | Action::ResolveAlert => return alert(model, action == Action::ResolveAlert),
        _ => {}
    }
    Vec::new()
}

/// Whether it would have something said or written on the bus, or read from it, which a replay has not.
pub(crate) fn says(action: Action) -> bool {
    use Action::{
        AcknowledgeAlert, CloneSpec, EditNote, EditNoteOutside, EditSpec, Go, Hold, Inject, Kill, NoteHistory,
    };
    use Action::{DropLetter, PauseExperiment, RecordNumber, ReplayLetter, ResolveAlert, SetBudget, StartTopic, Undo};
    matches!(action, Inject | Kill | Undo | Hold | Go | PauseExperiment | RecordNumber | EditSpec | CloneSpec)
        || matches!(action, AcknowledgeAlert | ResolveAlert | ReplayLetter | DropLetter | SetBudget | StartTopic)
        || matches!(action, EditNote | EditNoteOutside | NoteHistory)
        || matches!(action, Action::RunExperiment | Action::SampleExperiment | Action::SampleNeed)
}

fn open(model: &mut Model, layer: impl FnOnce(&mut Model) -> Layer) {
    let layer = layer(model);
    model.layers.push(layer);
}

fn go_to(model: &mut Model, screen: Screen) {
    if model.screen != screen {
        model.unpin();
    }
    model.screen = screen;
    model.is_zoomed = false;
    model.is_unsaved = true;
}

fn go_to_unless_there(model: &mut Model, screen: Screen) {
    if model.screen != screen {
        go_to(model, screen);
    }
}

/// Opens the note that has the focus, here or in $EDITOR.
fn edit_note(model: &mut Model, is_outside: bool) -> Vec<Effect> {
    go_to_unless_there(model, Screen::Notes);
    let name = screens::notes::focused(model);
    let Some(mut layer) = layers::note::NoteEdit::open(model, name) else {
        model.tell(Role::Warn, format!("it is too long for here: `fullsend notes edit {name}` opens it in $EDITOR"));
        return Vec::new();
    };
    let effects = if is_outside { vec![layer.in_editor()] } else { Vec::new() };
    model.layers.push(Layer::Note(Box::new(layer)));
    effects
}

/// Asks whether the selected letter should be said again, or be done with.
fn letter(model: &mut Model, deed: LetterDeed) {
    go_to_unless_there(model, Screen::System);
    let selected = model.selected(Pane::Letters).and_then(|id| id.parse().ok());
    let found = selected.and_then(|id| model.store.system.letters().find(|letter| letter.id == id)).cloned();
    model.focus.insert(Screen::System, Pane::Letters);
    match found {
        Some(letter) => model.layers.push(Layer::Confirm(layers::confirm::Confirm::letter(&letter, deed))),
        None => model.tell(Role::Text, "there are no dead letters"),
    }
}

/// Opens the form for the budget that is selected.
fn set_budget(model: &mut Model) {
    go_to_unless_there(model, Screen::System);
    // Elsewhere nobody has chosen one.
    let has_focus = model.focused().is_some_and(|(pane, _)| pane == Pane::Budgets);
    let selected = if has_focus { model.selected(Pane::Budgets).unwrap_or_default() } else { String::new() };
    let scope = selected.rsplit_once(' ').map_or("day", |(scope, _)| scope).to_owned();
    model.layers.push(Layer::Budget(Box::new(layers::budget::Budget::open(&scope))));
}

fn with_focus(
    model: &mut Model,
    act: impl FnOnce(&mut Model, Pane, ratatui::layout::Rect) -> Vec<Effect>,
) -> Vec<Effect> {
    model.focused().map_or_else(Vec::new, |(pane, area)| act(model, pane, area))
}

fn next_pane(model: &mut Model, by: isize) {
    let order = screens::reached(model);
    let at = model.focused().and_then(|(pane, _)| order.iter().position(|it| *it == pane));
    let len = isize::try_from(order.len()).unwrap_or(0);
    if len > 0 {
        let at = at.and_then(|at| isize::try_from(at).ok()).map_or(0, |at| (at + by).rem_euclid(len));
        if let Some(pane) = usize::try_from(at).ok().and_then(|at| order.get(at)) {
            model.focus.insert(model.screen, *pane);
        }
    }
}

/// Makes the first column of the screen wider, or narrower.
fn widen(model: &mut Model, by: i16) {
    match screens::widened(model, by) {
        Some(width) => {
            model.widths.insert(model.screen, width);
            model.is_unsaved = true;
        }
        None => model.tell(Role::Text, "there is no more room for that here"),
    }
}

fn back(model: &mut Model) -> Vec<Effect> {
    if model.is_zoomed {
        model.is_zoomed = false;
    } else if !model.filter.is_empty() {
        model.is_unsaved = true;
        return model.set_filter(String::new());
    } else if let Some((pane, area)) = model.focused() {
        let effects = model.go(pane, area, Step::Last);
        model.lists.remove(&pane);
        return effects;
    }
    Vec::new()
}

fn show(model: &mut Model) {
    if model.screen == Screen::Channels && !model.is_zoomed {
        model.is_zoomed = true;
        return;
    }
    match model.target() {
        Some(Target::Need(id)) => {
            let layer = layers::needs_you::NeedsYou::open(model, Some(&id));
            model.layers.push(Layer::NeedsYou(layer));
        }
        Some(target) => {
            let detail = layers::detail::Detail::of(model, target);
            model.layers.push(Layer::Detail(detail));
        }
        None if model.screen == Screen::Trace => model.tell(Role::Text, "that is all of it together: select a step"),
        None => model.is_zoomed = true,
    }
}

/// Shows the chain that something belongs to.
pub(crate) fn trace_of(model: &mut Model, target: &Target) -> Vec<Effect> {
    let trace = match target {
        Target::Message(row) => row.envelope.as_ref().map(|envelope| envelope.trace),
        Target::Document(key) => {
            let document = model.store.state(key.as_str()).and_then(|state| state.document());
            let own = document.and_then(|it| it.get("trace")).and_then(|trace| trace.parse().ok());
            own.or_else(|| document.and_then(Record::read).map(|record| record.envelope.trace))
                .or_else(|| chain_about(model, key.as_str()))
        }
        Target::Entry(..) | Target::Log(_) => None,
        Target::Need(id) => {
            let needs = model.store.documents.needs();
            needs.iter().find(|need| need.id() == id).map(|need| need.record.envelope.trace)
        }
    };
    match trace {
        Some(trace) => {
            go_to(model, Screen::Trace);
            model.is_unsaved = true;
            // What was asked about is selected: its step is beside the tree.
            let step = match target {
                Target::Message(row) => row.envelope.as_ref().map(|envelope| envelope.id.to_string()),
                Target::Document(key) => Some(key.to_string()),
                _ => None,
            };
            let selected = step.map(super::Mark::Entry);
            model.lists.insert(Pane::Chain, super::ListState { selected, ..super::ListState::default() });
            model.focus.insert(Screen::Trace, Pane::Chain);
            model.follow(trace)
        }
        None => {
            model.tell(Role::Warn, "it belongs to no chain that is known here");
            Vec::new()
        }
    }
}

/// The chain of the newest message that is about the document under this key.
fn chain_about(model: &Model, key: &str) -> Option<TraceId> {
    let id = key.split_once(':').map(|(_, id)| id)?;
    let about = |row: &&std::sync::Arc<Row>| {
        let subject = row.envelope.as_ref().and_then(|it| it.subject.as_deref());
        subject == Some(id) || row.body.contains(&format!("\"{id}\""))
    };
    let rows: Vec<_> = model.store.all.lines().filter_map(Line::row).collect();
    rows.into_iter().rev().find(about)?.envelope.as_ref().map(|envelope| envelope.trace)
}

fn show_trace(model: &mut Model) -> Vec<Effect> {
    let Some(target) = model.target() else {
        model.tell(Role::Warn, "nothing is selected");
        return Vec::new();
    };
    trace_of(model, &target)
}

fn kill(model: &mut Model) {
    let experiment = model.target().and_then(|target| match &target {
        Target::Document(key) if let Some(id) = key.as_str().strip_prefix("alerts:") => {
            model.store.alerts.all().iter().find(|it| it.id == id).and_then(|it| it.experiment.clone())
        }
        _ => target.experiment().map(str::to_owned),
    });
    match experiment {
        Some(id) => open(model, |model| Layer::Confirm(layers::confirm::Confirm::kill(model, &id))),
        None => model.tell(Role::Warn, "select an experiment first: Tab goes from pane to pane"),
    }
}

/// Says that the selected alert was seen, or is over.
fn alert(model: &mut Model, is_over: bool) -> Vec<Effect> {
    let Some(alert) = screens::alerts::selected(model).filter(|alert| alert.is_open()) else {
        model.tell(Role::Warn, "select an alert that is open");
        return Vec::new();
    };
    let (alert_id, by) = (alert.id.clone(), Some(model.about.operator.clone()));
    let order: Control = if is_over {
        ResolveAlert { alert_id, reason: None, by }.into()
    } else {
        AcknowledgeAlert { alert_id, until: None, by }.into()
    };
    vec![Effect::Say(model.ticket(), Saying::Control(order))]
}

fn undo(model: &mut Model) -> Vec<Effect> {
    let Some((experiment_id, at)) = model.killed_last() else {
        model.tell(Role::Warn, "no experiment was killed that could be brought back");
        return Vec::new();
    };
    let shown = sanitize_line(&experiment_id, 60);
    let order = RestoreExperiment { experiment_id, reason: None, by: Some(model.about.operator.clone()) };
    let effect = Effect::Say(model.ticket(), Saying::Control(order.into()));
    let at = read_time(&at);
    if at.is_some_and(|at| model.now.wall - at <= UNDONE_AT_ONCE) {
        model.tell(Role::Text, format!("bringing {shown} back"));
        return vec![effect];
    }
    let when = at.map_or_else(|| "some time ago".to_owned(), |at| text::date_time(at, model));
    let lines = vec![format!("It was killed last: {when}."), "Its schedule runs again.".to_owned()];
    let heading = format!("Bring {shown} back?");
    model.layers.push(Layer::Confirm(layers::confirm::Confirm::of(heading, lines, effect)));
    Vec::new()
}

/// Holds; a second time right after, what runs is stopped. It never lets go: while the team is held, it asks what is meant.
fn hold(model: &mut Model) -> Vec<Effect> {
    let now = model.now.open;
    let is_soon = |at: &super::Held| now.saturating_sub(at.at) <= TWICE;
    match model.held.filter(is_soon) {
        // Somebody leans on the key.
        Some(held) if held.is_stopped => {
            model.held = Some(super::Held { at: now, ..held });
            Vec::new()
        }
        Some(_) => {
            model.held = Some(super::Held { at: now, is_stopped: true });
            stop_runs(model)
        }
        None if model.store.documents.is_held() => {
            model.layers.push(Layer::Held);
            Vec::new()
        }
        None => {
            model.held = Some(super::Held { at: now, is_stopped: false });
            let order = Hold { reason: None, by: Some(model.about.operator.clone()) };
            vec![Effect::Say(model.ticket(), Saying::Control(order.into()))]
        }
    }
}

/// Lets the team go on.
pub(crate) fn let_go(model: &mut Model) -> Vec<Effect> {
    model.held = None;
    if !model.store.documents.is_held() {
        model.tell(Role::Text, "nothing is held");
        return Vec::new();
    }
    let order = Go { reason: None, by: Some(model.about.operator.clone()) };
    vec![Effect::Say(model.ticket(), Saying::Control(order.into()))]
}

/// Orders every run that is under way to stop.
pub(crate) fn stop_runs(model: &mut Model) -> Vec<Effect> {
    let runs: Vec<(String, String)> =
        model.store.documents.runs("").map(|(of, run)| (of.to_owned(), run.to_owned())).collect();
    if runs.is_empty() {
        model.tell(Role::Text, "held; nothing runs that would have to be stopped");
        return Vec::new();
    }
    model.tell(Role::Warn, format!("held; runs that are stopped: {}", runs.len()));
    let mut effects = Vec::new();
    for (experiment, run_id) in runs {
        let order = CancelRun {
            run_id,
            experiment_id: Some(experiment),
            reason: Some("stopped by a hold in the control room".to_owned()),
            by: Some(model.about.operator.clone()),
        };
        effects.push(Effect::Say(model.ticket(), Saying::Control(order.into())));
    }
    effects
}

fn quit(model: &mut Model) -> Vec<Effect> {
    if model.about.is_inside || model.about.team.is_some() {
        model.layers.push(Layer::Quit);
        return Vec::new();
    }
    vec![Effect::Keep(Box::new(model.kept())), Effect::Quit(super::End::Leave)]
}
