//! The screens: which panes each one has, where they stand, and what is in them.
//!
//! Owns [`Screen`] and [`Pane`]. A screen is a module with `panes` (where) and, where a list is not enough, a `draw` of its own. Layout is
//! computed from the model and the area alone, so that drawing, paging and the mouse agree. Must never change the model.

pub mod alerts;
pub mod builds;
pub mod channels;
pub mod content;
pub mod deck;
pub mod experiments;
pub mod mind;
pub mod notes;
pub mod roundtable;
pub mod system;
pub mod trace;

use ratatui::Frame;
use ratatui::layout::Rect;

use super::app::Model;
use super::draw;
use crate::contracts::ChannelName;
use crate::contracts::notes::NoteName;

/// A screen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Screen {
    /// Everything at a glance.
    #[default]
    Deck,
    /// One pane for each channel.
    Channels,
    /// What the orchestrator thinks and decides.
    Mind,
    /// All experiments.
    Experiments,
    /// Worklist, learnings and product context.
    Notes,
    /// Alerts and metrics.
    Alerts,
    /// Tools.
    Builds,
    /// The debate.
    Roundtable,
    /// One chain.
    Trace,
    /// How the machine is.
    System,
}

impl Screen {
    /// All of them, in the order of their keys.
    pub const ALL: [Self; 10] = [
        Self::Deck,
        Self::Channels,
        Self::Mind,
        Self::Experiments,
        Self::Notes,
        Self::Alerts,
        Self::Builds,
        Self::Roundtable,
        Self::Trace,
        Self::System,
    ];

    /// For people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Deck => "Deck",
            Self::Channels => "Channels",
            Self::Mind => "Mind",
            Self::Experiments => "Experiments",
            Self::Notes => "Notes",
            Self::Alerts => "Alerts",
            Self::Builds => "Builds",
            Self::Roundtable => "Roundtable",
            Self::Trace => "Trace",
            Self::System => "System",
        }
    }
}

/// A pane of a screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pane {
    /// Who runs.
    Services,
    /// What is said, on all channels.
    Traffic,
    /// What waits for a person.
    Needs,
    /// What is thought, or why it was decided.
    Reasoning,
    /// Alerts: on their screen all, elsewhere those that are not over.
    Alerts,
    /// A note of the team.
    Note(NoteName),
    /// The selected alert.
    Alert,
    /// Experiments.
    Experiments,
    /// The selected experiment.
    Experiment,
    /// A number over time, of what is selected on a screen.
    Chart(Screen),
    /// What was decided.
    Decisions,
    /// The selected decision.
    Decision,
    /// Who answers.
    Minds,
    /// What is said on one channel.
    Channel(ChannelName),
    /// How the engine is.
    Engine,
    /// Who reads how far.
    Groups,
    /// What could not be handled.
    Letters,
    /// What is spent and allowed.
    Budgets,
    /// How the models do.
    Models,
    /// Who says what to whom.
    Wiring,
    /// What the program writes down.
    Logs,
    /// Tools that are asked for.
    Builds,
    /// Tools that are there.
    Tools,
    /// Topics of the round table.
    Topics,
    /// What is said at the round table.
    Debate,
    /// What came of a debate.
    Conclusion,
    /// The steps of a chain.
    Chain,
    /// The selected step of a chain.
    Step,
}

/// The panes of the screen that is shown, in the order of the focus, and where they stand. Zoomed, only the one with the focus.
pub fn panes(model: &Model, area: Rect) -> Vec<(Pane, Rect)> {
    if model.is_zoomed
        && let Some(pane) = model.chosen_pane()
    {
        return vec![(pane, area)];
    }
    let mut panes = match model.screen {
        Screen::Deck => deck::panes(area),
        Screen::Channels => channels::panes(model, area),
        Screen::Notes => notes::panes(model, area),
        Screen::Builds => builds::panes(area),
        Screen::Roundtable => roundtable::panes(area),
        Screen::System => system::panes(model, area),
        Screen::Mind => mind::panes(model, area),
        Screen::Experiments => experiments::panes(model, area),
        Screen::Alerts => alerts::panes(model, area),
        Screen::Trace => trace::panes(area),
    };
    if let Some(by) = model.widths.get(&model.screen) {
        widen(&mut panes, area, *by);
    }
    panes
}

/// A pane is not made narrower than this.
const NARROWEST: u16 = 20;

/// Where the first column of panes ends; none where there is only one.
fn first_border(panes: &[(Pane, Rect)], area: Rect) -> Option<u16> {
    let ends = panes.iter().map(|(_, at)| at.right()).filter(|end| *end < area.right());
    ends.filter(|end| panes.iter().any(|(_, at)| at.x == *end)).min()
}

/// Moves the end of the first column, as far as the panes on both sides let it.
fn widen(panes: &mut [(Pane, Rect)], area: Rect, by: i16) {
    let Some(border) = first_border(panes, area) else { return };
    let least = |wanted: &dyn Fn(&Rect) -> bool| {
        let widths = panes.iter().filter(|(_, at)| wanted(at)).map(|(_, at)| at.width);
        i16::try_from(widths.min().unwrap_or(0).saturating_sub(NARROWEST)).unwrap_or(i16::MAX)
    };
    let (left, right) = (least(&|at| at.right() == border), least(&|at| at.x == border));
    let by = by.clamp(-left, right);
    for (_, at) in panes {
        if at.right() == border {
            at.width = at.width.saturating_add_signed(by);
        } else if at.x == border {
            at.x = at.x.saturating_add_signed(by);
            at.width = at.width.saturating_add_signed(-by);
        }
    }
}

/// By how many columns the first column of the screen is wider once it was made wider by so many more; none where it cannot be.
pub fn widened(model: &Model, by: i16) -> Option<i16> {
    let area = model.body();
    let edge = |model: &Model, panes: &[(Pane, Rect)]| {
        let border = first_border(panes, area)?;
        (!model.is_zoomed).then_some(border)
    };
    let before = edge(model, &panes(model, area))?;
    let wanted = model.widths.get(&model.screen).copied().unwrap_or(0).saturating_add(by);
    let mut moved = panes(model, area);
    widen(&mut moved, area, by);
    (edge(model, &moved)? != before).then_some(wanted)
}

/// All panes that the focus can go to, also those for which there is no room now.
pub fn order(model: &Model, area: Rect) -> Vec<Pane> {
    match model.screen {
        Screen::Channels => channels::ALL.iter().map(|channel| Pane::Channel(*channel)).collect(),
        Screen::Deck => deck::ALL.to_vec(),
        Screen::Notes => notes::ALL.to_vec(),
        Screen::Builds => builds::ALL.to_vec(),
        Screen::Roundtable => roundtable::ALL.to_vec(),
        Screen::System => system::ALL.to_vec(),
        Screen::Mind => mind::ALL.to_vec(),
        Screen::Experiments => experiments::panes(model, area).into_iter().map(|(pane, _)| pane).collect(),
        Screen::Alerts => alerts::panes(model, area).into_iter().map(|(pane, _)| pane).collect(),
        Screen::Trace => vec![Pane::Chain, Pane::Step],
    }
}

/// The pane that the key for the next one goes to, where there is no room for it now.
pub fn hidden_next(model: &Model) -> Option<Pane> {
    let (focused, _) = model.focused()?;
    let order = reached(model);
    let at = order.iter().position(|pane| *pane == focused)?;
    let next = order.get((at + 1) % order.len()).copied()?;
    let is_shown = panes(model, model.body()).iter().any(|(pane, _)| *pane == next);
    (!is_shown).then_some(next)
}

/// All panes that the focus goes round, in their order: on the Deck only those that there is room for, unless one is zoomed.
pub fn reached(model: &Model) -> Vec<Pane> {
    let mut order = order(model, model.body());
    if model.screen == Screen::Deck && !model.is_zoomed {
        let shown = panes(model, model.body());
        order.retain(|pane| shown.iter().any(|(it, _)| it == pane));
    }
    order
}

/// Draws the screen that is shown.
pub fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    for (pane, area) in panes(model, area) {
        draw::pane(frame, area, model, pane);
    }
}
