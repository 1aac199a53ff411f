//! The screens: which panes each one has, where they stand, and what is in them.
//!
//! Owns [`Screen`] and [`Pane`]. A screen is a module with `panes` (where) and, where a list is not enough, a `draw` of its own. Layout is
//! computed from the model and the area alone, so that drawing, paging and the mouse agree. Must never change the model.

pub mod alerts;
pub mod channels;
pub mod content;
pub mod deck;
pub mod experiments;
pub mod generic;
pub mod mind;
pub mod trace;

use ratatui::Frame;
use ratatui::layout::Rect;

use super::app::Model;
use super::draw;
use crate::contracts::ChannelName;

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
    /// The selected alert.
    Alert,
    /// What is done now, next, later.
    Worklist,
    /// What was learned.
    Learnings,
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
    /// The steps of a chain.
    Chain,
    /// The selected step of a chain.
    Step,
    /// The documents of a screen.
    Documents(Screen),
    /// The messages of a screen.
    Messages(Screen),
}

/// The panes of the screen that is shown, in the order of the focus, and where they stand. Zoomed, only the one with the focus.
pub fn panes(model: &Model, area: Rect) -> Vec<(Pane, Rect)> {
    if model.is_zoomed
        && let Some(pane) = model.chosen_pane()
    {
        return vec![(pane, area)];
    }
    match model.screen {
        Screen::Deck => deck::panes(area),
        Screen::Channels => channels::panes(model, area),
        Screen::Mind => mind::panes(model, area),
        Screen::Experiments => experiments::panes(model, area),
        Screen::Alerts => alerts::panes(model, area),
        Screen::Trace => trace::panes(area),
        screen => generic::panes(screen, area),
    }
}

/// All panes that the focus can go to, also those for which there is no room now.
pub fn order(model: &Model, area: Rect) -> Vec<Pane> {
    match model.screen {
        Screen::Channels => channels::ALL.iter().map(|channel| Pane::Channel(*channel)).collect(),
        Screen::Deck => deck::ALL.to_vec(),
        Screen::Mind => mind::ALL.to_vec(),
        Screen::Experiments => experiments::panes(model, area).into_iter().map(|(pane, _)| pane).collect(),
        Screen::Alerts => alerts::panes(model, area).into_iter().map(|(pane, _)| pane).collect(),
        Screen::Trace => vec![Pane::Chain, Pane::Step],
        screen => generic::panes(screen, area).into_iter().map(|(pane, _)| pane).collect(),
    }
}

/// Draws the screen that is shown.
pub fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    for (pane, area) in panes(model, area) {
        draw::pane(frame, area, model, pane);
    }
}
