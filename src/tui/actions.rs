//! The table of actions: what can be done, what it is called, its keys, and where it works.
//!
//! Keys, footer, help, palette, `keys.toml` and `fullsend keys` all come from [`ACTIONS`]. Must never do anything: `update` does.

#[cfg(test)]
mod tests;

use super::screens::Screen;

/// Where an action works. The innermost scope that knows a key decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// On every screen, while no layer is open.
    Room,
    /// In a list of messages or documents that has the focus.
    List,
    /// On this screen.
    Screen(Screen),
    /// Where a recording is replayed; before all that a list or the room does with the same key.
    Replay,
    /// In any layer.
    Layer,
    /// In this layer.
    In(LayerKind),
}

impl Scope {
    /// For people.
    pub fn title(self) -> String {
        match self {
            Self::Room => "everywhere".to_owned(),
            Self::List => "in a list".to_owned(),
            Self::Screen(screen) => format!("on {}", screen.title()),
            Self::Replay => "in a replay".to_owned(),
            Self::Layer => "in every layer".to_owned(),
            Self::In(layer) => format!("in {}", layer.title()),
        }
    }
}

/// The kinds of layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LayerKind {
    /// Say something.
    Inject,
    /// A message or a document, whole.
    Detail,
    /// Every action by name.
    Palette,
    /// The keys of this place.
    Help,
    /// A yes or no.
    Confirm,
    /// What is shown only.
    Filter,
    /// How to end.
    Quit,
    /// What is to become of a hold.
    Held,
    /// What waits for a person.
    NeedsYou,
    /// A note's text, edited.
    Note,
    /// The versions of a note.
    History,
    /// A limit that is to be set.
    Budget,
    /// An answer that is being written.
    Answer,
    /// What would happen on a yes, while it is changed.
    Edit,
    /// What an edit changes.
    Review,
    /// How it looks.
    Themes,
    /// What this is.
    Welcome,
    /// A number that no tool can know.
    Record,
}

impl LayerKind {
    /// For people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Inject => "inject",
            Self::Detail => "the detail view",
            Self::Palette => "the palette",
            Self::Help => "help",
            Self::Confirm => "a confirmation",
            Self::Filter => "the filter",
            Self::Quit => "quit",
            Self::Held => "a hold",
            Self::NeedsYou => "needs you",
            Self::Note => "a note",
            Self::History => "the history",
            Self::Budget => "a budget",
            Self::Answer => "an answer that is written",
            Self::Edit => "an edit of a request",
            Self::Review => "the review of an edit",
            Self::Themes => "the themes",
            Self::Welcome => "the welcome",
            Self::Record => "recording a number",
        }
    }
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// What it is.
    pub action: Action,
    /// Its name in `keys.toml` and in the palette.
    pub name: &'static str,
    /// One or two words, for the footer.
    pub short: &'static str,
    /// What it does, in one sentence.
    pub help: &'static str,
    /// Its keys, unless a person chose others.
    pub keys: &'static [&'static str],
    /// Where it works.
    pub scope: Scope,
    /// Whether the footer shows it; the lower, the earlier. 0: not at all.
    pub footer: u8,
    /// Whether it must have a key.
    pub is_needed: bool,
}

macro_rules! actions {
    ($( $(#[$doc:meta])* $action:ident = $name:literal, $short:literal, $help:literal, [$($key:literal),*], $scope:expr, $footer:literal $(, $needed:ident)? ;)+) => {
        /// Something that can be done from the keyboard.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Action { $( #[doc = $help] $action, )+ }

        /// The table.
        pub const ACTIONS: &[Row] = &[ $( Row {
            action: Action::$action,
            name: $name,
            short: $short,
            help: $help,
            keys: &[$($key),*],
            scope: $scope,
            footer: $footer,
            is_needed: !"".is_empty() $(|| !stringify!($needed).is_empty())?,
        }, )+ ];
    };
}

use LayerKind::{Answer, Budget, Confirm, Detail, Edit, Help, History, Inject, NeedsYou, Note, Quit, Review, Welcome};
use Scope::{In, Layer, List, Replay, Room};

const ON_NOTES: Scope = Scope::Screen(Screen::Notes);
const ON_SYSTEM: Scope = Scope::Screen(Screen::System);
const ON_ROUNDTABLE: Scope = Scope::Screen(Screen::Roundtable);

actions! {
    Inject = "inject", "inject", "Say something to the team.", ["i"], Room, 1;
    NeedsYou = "needs-you", "needs you", "Answer what waits for you.", ["a"], Room, 2;
    Kill = "kill", "kill", "Kill the experiment that is selected.", ["x"], Room, 3;
    Undo = "undo", "undo", "Bring back the experiment that was killed last.", ["u"], Room, 0;
    Filter = "filter", "filter", "Show only the messages that match.", ["/"], Room, 4;
    Open = "open", "open", "Show the message or the document that is selected, whole.", ["enter"], List, 5;
    Pause = "pause", "pause", "Hold the list still, or follow what comes again.", ["space"], List, 7;
    Hold = "hold", "hold", "Hold: nothing new starts. Twice: what runs is stopped, too. While it is held: asks what is meant.", ["H"], Room, 8;
    Go = "go", "go on", "Let the team go on after a hold.", [], Room, 0;
    Palette = "palette", "commands", "Find an action by its name.", [":", "ctrl-p"], Room, 9;
    Help = "help", "help", "Show the keys of this place.", ["?", "f1"], Room, 10;
    Quit = "quit", "quit", "End, or leave the team running without a screen.", ["q"], Room, 11, needed;
    NextPane = "next-pane", "next pane", "Go to the next pane.", ["tab"], Room, 0;
    PreviousPane = "previous-pane", "previous pane", "Go to the pane before.", ["shift-tab"], Room, 0;
    Up = "up", "up", "Select the line above.", ["up", "k"], List, 0;
    Down = "down", "down", "Select the line below.", ["down", "j"], List, 0;
    PageUp = "page-up", "page up", "Go up a page.", ["pageup", "ctrl-b"], List, 0;
    PageDown = "page-down", "page down", "Go down a page.", ["pagedown", "ctrl-f"], List, 0;
    First = "first", "first", "Go to the oldest line.", ["home", "g"], List, 0;
    Last = "last", "last", "Go to the newest line, and follow.", ["end", "G"], List, 0;
    Deck = "deck", "Deck", "Everything at a glance.", ["1"], Room, 0;
    Channels = "channels", "Channels", "One pane for each channel.", ["2"], Room, 0;
    Mind = "mind", "Mind", "What the orchestrator thinks and decides.", ["3"], Room, 0;
    Experiments = "experiments", "Experiments", "All experiments.", ["4"], Room, 0;
    Notes = "notes", "Notes", "Worklist, learnings and product context.", ["5"], Room, 0;
    Alerts = "alerts", "Alerts", "Alerts and metrics.", ["6"], Room, 0;
    Builds = "builds", "Builds", "Tools that are made, and those that are there.", ["7"], Room, 0;
    Roundtable = "roundtable", "Roundtable", "The debate as it goes.", ["8"], Room, 0;
    Trace = "trace", "Trace", "One chain from message to learning.", ["9"], Room, 0;
    System = "system", "System", "Wiring, groups, dead letters, budgets, logs.", ["0"], Room, 0;
    ShowTrace = "show-trace", "trace", "Show the chain that the selected message belongs to.", ["t"], List, 6;
    Zoom = "zoom", "zoom", "Show the pane that has the focus alone, or all of them again.", ["z"], Room, 0;
    Wider = "wider", "wider", "Make the first column of the screen wider; it stays so.", [")"], Room, 0;
    Narrower = "narrower", "narrower", "Make the first column of the screen narrower; it stays so.", ["("], Room, 0;
    Theme = "theme", "theme", "Choose how the room looks; each theme is shown as it is selected.", ["T"], Room, 0;
    Mouse = "mouse", "mouse", "Let the mouse select here, or in the terminal.", ["M"], Room, 0;
    Back = "back", "back", "Leave the zoom, the filter, or what is selected.", ["esc"], Room, 0;
    Suspend = "suspend", "suspend", "Give the terminal back to the shell for a while.", ["ctrl-z"], Room, 0;
    Redraw = "redraw", "redraw", "Draw everything anew.", ["ctrl-l"], Room, 0;
    ReplayPlay = "replay-play", "play", "Play on, or stand still.", ["space"], Replay, 1;
    ReplayForward = "replay-forward", "message on", "Go one message on.", ["right"], Replay, 3;
    ReplayBack = "replay-back", "back", "Go one message back.", ["left"], Replay, 2;
    ReplayMinuteForward = "replay-minute-forward", "minute on", "Go a minute on.", ["shift-right", "."], Replay, 5;
    ReplayMinuteBack = "replay-minute-back", "back", "Go a minute back.", ["shift-left", ","], Replay, 4;
    ReplayFaster = "replay-faster", "faster", "Play twice as fast.", ["+", "="], Replay, 6;
    ReplaySlower = "replay-slower", "slower", "Play half as fast.", ["-"], Replay, 7;
    ReplayStart = "replay-start", "start", "Go to the beginning of the recording.", ["<"], Replay, 0;
    ReplayEnd = "replay-end", "end", "Go to the end of the recording.", [">"], Replay, 0;
    PauseExperiment = "pause-experiment", "rest", "Let the selected experiment rest, or go on.", ["p"], Scope::Screen(Screen::Experiments), 3;
    RunExperiment = "run-experiment", "run now", "Run the selected experiment now.", ["r"], Scope::Screen(Screen::Experiments), 0;
    SampleExperiment = "sample-experiment", "sample", "Have one mail of the selected experiment, as it would go out, sent to yourself.", ["s"], Scope::Screen(Screen::Experiments), 8;
    RecordNumber = "record-number", "number", "Record a number for the selected experiment, that no tool can know.", ["m"], Scope::Screen(Screen::Experiments), 4;
    EditSpec = "edit-spec", "edit", "Ask for a change of the selected experiment, from its specification.", ["e"], Scope::Screen(Screen::Experiments), 5;
    CloneSpec = "clone-spec", "clone", "Ask for a new experiment, from the specification of the selected one.", ["c"], Scope::Screen(Screen::Experiments), 6;
    NextMetric = "next-metric", "metric", "Show the next metric over time.", ["]"], Scope::Screen(Screen::Experiments), 7;
    PreviousMetric = "previous-metric", "metric before", "Show the metric before over time.", ["["], Scope::Screen(Screen::Experiments), 0;
    AcknowledgeAlert = "acknowledge-alert", "seen", "Say that the selected alert was seen.", ["A"], Scope::Screen(Screen::Alerts), 4;
    ResolveAlert = "resolve-alert", "over", "Say that the selected alert is over.", ["R"], Scope::Screen(Screen::Alerts), 5;
    Close = "close", "close", "Close the layer.", ["esc"], Layer, 20, needed;
    Send = "send", "send", "Send it.", ["ctrl-s"], In(Inject), 1, needed;
    InjectNext = "inject-next", "next type", "Take the next message type.", ["ctrl-n"], In(Inject), 3;
    InjectPrevious = "inject-previous", "type before", "Take the message type before.", ["ctrl-p"], In(Inject), 4;
    InjectChannel = "inject-channel", "next channel", "Take the next channel.", ["tab"], In(Inject), 2;
    InjectChannelBack = "inject-channel-back", "channel before", "Take the channel before.", ["shift-tab"], In(Inject), 0;
    InjectExample = "inject-example", "example", "Fill in a valid example.", ["ctrl-e"], In(Inject), 5;
    InjectRecall = "inject-recall", "recall", "Take what was sent before.", ["alt-up", "ctrl-r"], In(Inject), 6;
    InjectEditor = "inject-editor", "$EDITOR", "Write it in $EDITOR.", ["ctrl-o"], In(Inject), 7;
    AnswerSend = "answer-send", "send", "Send the answer.", ["enter"], In(Answer), 1, needed;
    EditReview = "edit-review", "see what changes", "Show what the edit changes, to approve it then.", ["ctrl-s"], In(Edit), 1, needed;
    EditEditor = "edit-editor", "$EDITOR", "Change it in $EDITOR.", ["ctrl-o"], In(Edit), 2;
    EditApprove = "edit-approve", "approve the edit", "Yes to the edit that is shown.", ["y"], In(Review), 1, needed;
    EditAgain = "edit-again", "edit again", "Go on changing it.", ["e"], In(Review), 2;
    ReviewUp = "review-up", "up", "Scroll up.", ["up", "k"], In(Review), 0;
    ReviewDown = "review-down", "down", "Scroll down.", ["down", "j"], In(Review), 0;
    Approve = "approve", "approve", "Yes to what is shown.", ["y"], In(NeedsYou), 1, needed;
    EditNeed = "edit-need", "edit", "Change what would happen, then say yes to that.", ["e"], In(NeedsYou), 2;
    Deny = "deny", "deny", "No, with a reason that goes back to the orchestrator.", ["n"], In(NeedsYou), 3, needed;
    Always = "always", "always", "Yes, and the same kind without asking, until a date of yours.", ["A"], In(NeedsYou), 4;
    ApproveAll = "approve-all", "approve all", "Yes to all that waits, but never to class 3. Asks first.", ["Y"], In(NeedsYou), 6;
    SampleNeed = "sample-need", "sample to me", "Have one of its mails, as it would go out, sent to yourself; nothing is answered by that.", ["s"], In(NeedsYou), 7;
    NextNeed = "next-need", "next", "Go to the next request.", ["tab", "right"], In(NeedsYou), 5;
    PreviousNeed = "previous-need", "before", "Go to the request before.", ["shift-tab", "left"], In(NeedsYou), 0;
    NeedUp = "need-up", "up", "Scroll up.", ["up", "k"], In(NeedsYou), 0;
    NeedDown = "need-down", "down", "Scroll down.", ["down", "j"], In(NeedsYou), 0;
    NeedPageUp = "need-page-up", "page up", "Scroll up a page.", ["pageup"], In(NeedsYou), 0;
    NeedPageDown = "need-page-down", "page down", "Scroll down a page.", ["pagedown"], In(NeedsYou), 0;
    ConfirmYes = "confirm-yes", "yes", "Do it.", ["y"], In(Confirm), 1, needed;
    ConfirmNo = "confirm-no", "no", "Do not.", ["n", "enter"], In(Confirm), 2, needed;
    QuitStop = "quit-stop", "stop", "Stop the team, and end.", ["s"], In(Quit), 2, needed;
    QuitDefault = "quit-default", "what is marked", "Do what is marked.", ["enter"], In(Quit), 3;
    QuitLeave = "quit-leave", "leave", "Leave the team running without a screen.", ["l"], In(Quit), 1, needed;
    HeldStop = "held-stop", "stop what runs", "Stop what runs, and stay held.", ["s"], In(LayerKind::Held), 1, needed;
    HeldGo = "held-go", "go on", "Let the team go on.", ["g"], In(LayerKind::Held), 2, needed;
    DetailUp = "detail-up", "up", "Go to the line above.", ["up", "k"], In(Detail), 0;
    DetailDown = "detail-down", "down", "Go to the line below.", ["down", "j"], In(Detail), 0;
    DetailPageUp = "detail-page-up", "page up", "Scroll up a page.", ["pageup"], In(Detail), 0;
    DetailPageDown = "detail-page-down", "page down", "Scroll down a page.", ["pagedown", "space"], In(Detail), 0;
    DetailRaw = "detail-raw", "raw", "Show it as it came, or laid out.", ["r"], In(Detail), 1;
    DetailCopy = "detail-copy", "copy", "Copy the value of this line to the clipboard.", ["y"], In(Detail), 2;
    DetailCopyAll = "detail-copy-all", "copy all", "Copy all of it to the clipboard.", ["Y"], In(Detail), 6;
    DetailAgain = "detail-again", "send again", "Say the same again.", ["s"], In(Detail), 3;
    DetailTrace = "detail-trace", "trace", "Show the chain that it belongs to.", ["t"], In(Detail), 4;
    DetailFold = "detail-fold", "fold", "Fold the value of this line, or unfold it.", ["enter", "f"], In(Detail), 5;
    DetailFoldAll = "detail-fold-all", "fold all", "Fold all that is nested, or unfold it.", ["F"], In(Detail), 7;
    PaletteRun = "palette-run", "do it", "Do what is selected.", ["enter"], In(LayerKind::Palette), 1, needed;
    PaletteUp = "palette-up", "up", "Select the action above.", ["up", "ctrl-k"], In(LayerKind::Palette), 0;
    PaletteDown = "palette-down", "down", "Select the action below.", ["down", "ctrl-j"], In(LayerKind::Palette), 0;
    FilterApply = "filter-apply", "apply", "Keep the filter.", ["enter"], In(LayerKind::Filter), 1, needed;
    FilterClear = "filter-clear", "clear", "Show everything again.", ["ctrl-u"], In(LayerKind::Filter), 2;
    HelpUp = "help-up", "up", "Scroll up.", ["up", "k"], In(Help), 0;
    HelpDown = "help-down", "down", "Scroll down.", ["down", "j"], In(Help), 0;
    HelpPageUp = "help-page-up", "page up", "Scroll up a page.", ["pageup", "ctrl-b"], In(Help), 2;
    HelpPageDown = "help-page-down", "page down", "Scroll down a page.", ["pagedown", "space", "ctrl-f"], In(Help), 1;
    HelpFirst = "help-first", "first", "Go to the beginning.", ["home", "g"], In(Help), 0;
    HelpLast = "help-last", "last", "Go to the end.", ["end", "G"], In(Help), 0;
    EditNote = "edit-note", "edit", "Edit the note that has the focus.", ["e"], ON_NOTES, 1;
    EditNoteOutside = "edit-note-outside", "$EDITOR", "Edit the note in $EDITOR; it is saved when you leave it.", ["E"], ON_NOTES, 2;
    NoteHistory = "note-history", "history", "Show the versions of the note, and bring one back.", ["h"], ON_NOTES, 1;
    NoteSave = "note-save", "save", "Save it as your new version.", ["ctrl-s"], In(Note), 1, needed;
    NoteInEditor = "note-in-editor", "$EDITOR", "Go on in $EDITOR.", ["ctrl-o"], In(Note), 2;
    NoteAnew = "note-anew", "as it stands", "Show the note as it stands, or what you wrote again.", ["ctrl-g"], In(Note), 3;
    HistoryUp = "history-up", "newer", "Select the newer version.", ["up", "k"], In(History), 0;
    HistoryDown = "history-down", "older", "Select the older version.", ["down", "j"], In(History), 2;
    HistoryPageUp = "history-page-up", "page up", "Scroll up in what it changed.", ["pageup"], In(History), 0;
    HistoryPageDown = "history-page-down", "page down", "Scroll down in what it changed.", ["pagedown", "space"], In(History), 3;
    HistoryRevert = "history-revert", "bring back", "Bring the selected version back.", ["r"], In(History), 1;
    ReplayLetter = "replay-letter", "replay", "Say the selected dead letter again.", ["r"], ON_SYSTEM, 1;
    DropLetter = "drop-letter", "drop", "Mark the selected dead letter as done with.", ["d"], ON_SYSTEM, 1;
    SetBudget = "set-budget", "budget", "Set a limit for what is spent.", ["b"], ON_SYSTEM, 1;
    BudgetSet = "budget-set", "set", "Set it.", ["enter", "ctrl-s"], In(Budget), 1, needed;
    BudgetNext = "budget-next", "next field", "Go to the next field.", ["tab", "down"], In(Budget), 2;
    BudgetPrevious = "budget-previous", "field before", "Go to the field before.", ["shift-tab", "up"], In(Budget), 0;
    StartTopic = "start-topic", "new topic", "Hand a topic in to the round table.", ["n"], ON_ROUNDTABLE, 1;
    ThemeUp = "theme-up", "up", "Select the theme above.", ["up", "k"], In(LayerKind::Themes), 0;
    ThemeDown = "theme-down", "down", "Select the theme below.", ["down", "j"], In(LayerKind::Themes), 0;
    ThemeKeep = "theme-keep", "keep", "Keep the theme that is shown.", ["enter"], In(LayerKind::Themes), 1, needed;
    RecordSend = "record-send", "record", "Record the number.", ["enter", "ctrl-s"], In(LayerKind::Record), 1, needed;
    RecordNext = "record-next", "next field", "Go to the next field.", ["tab", "down"], In(LayerKind::Record), 2;
    RecordPrevious = "record-previous", "field before", "Go to the field before.", ["shift-tab", "up"], In(LayerKind::Record), 0;
    RecordEvent = "record-event", "known event", "Take the next event that this experiment knows.", ["ctrl-n"], In(LayerKind::Record), 3;
    WelcomeDone = "welcome-done", "begin", "Close the welcome.", ["enter", "space"], In(Welcome), 1;
}

/// Other words for an action, by which the palette finds it too.
pub const fn other_words(action: Action) -> &'static str {
    match action {
        Action::Go => "resume unhold continue release start",
        Action::Hold => "halt freeze stop everything",
        Action::NeedsYou => "approve deny answer requests approvals",
        Action::Inject => "say send message idea chat",
        Action::Kill => "archive stop cancel",
        Action::Undo => "restore unkill revive",
        Action::Quit => "exit leave stop",
        Action::Filter => "search find grep",
        Action::Help => "keys shortcuts",
        Action::Theme => "colours colors dark light",
        Action::Pause => "freeze follow live",
        Action::AcknowledgeAlert => "ack seen",
        Action::ResolveAlert => "close over",
        Action::SetBudget => "limit money cost",
        Action::SampleExperiment => "test mail preview try",
        _ => "",
    }
}

/// The actions that are done with what is selected on their screen, and only there: elsewhere nobody sees what that is.
pub fn needs_sight(action: Action) -> Option<Screen> {
    match (action, action.row().scope) {
        (
            Action::PauseExperiment
            | Action::RunExperiment
            | Action::SampleExperiment
            | Action::RecordNumber
            | Action::EditSpec
            | Action::CloneSpec
            | Action::AcknowledgeAlert
            | Action::ResolveAlert,
            Scope::Screen(screen),
        ) => Some(screen),
        _ => None,
    }
}

impl Action {
    /// Its row in the table.
    pub fn row(self) -> &'static Row {
        // The table has a row for each action, in their order.
        &ACTIONS[self as usize]
    }
}

/// The scopes of a place without a layer, the innermost first.
pub fn scopes(screen: Screen, is_replay: bool) -> Vec<Scope> {
    let replay = is_replay.then_some(Scope::Replay);
    replay.into_iter().chain([Scope::Screen(screen), Scope::List, Scope::Room]).collect()
}

/// The screen that an action goes to, if it goes to one.
pub fn screen_of(action: Action) -> Option<Screen> {
    Some(match action {
        Action::Deck => Screen::Deck,
        Action::Channels => Screen::Channels,
        Action::Mind => Screen::Mind,
        Action::Experiments => Screen::Experiments,
        Action::Notes => Screen::Notes,
        Action::Alerts => Screen::Alerts,
        Action::Builds => Screen::Builds,
        Action::Roundtable => Screen::Roundtable,
        Action::Trace => Screen::Trace,
        Action::System => Screen::System,
        _ => return None,
    })
}
