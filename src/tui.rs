//! The control room: everything that is said and done, on one screen, steered from the keyboard.
//!
//! bus → [`feed`] → [`store::Store::apply`] → [`draw::draw`]; key → [`app::update`] → [`app::Effect`] → bus. [`run`] turns the wheel.
//! Nothing here knows a service or an engine: only the bus port. `update` and `draw` are pure.
//!
//! | module | what it owns |
//! |---|---|
//! | [`feed`] | history, then what comes, and documents read again when a bell rings: items for the store; [`feed::back`]: what is older |
//! | [`store`] | what is shown: rings of messages with what was read back above them ([`store::back`] owns the seam), documents, services, model calls |
//! | [`app`] | the model, what happens to it, what it wants done |
//! | [`actions`], [`keys`] | the one table of actions; chords, and a person's own keys |
//! | [`screens`] | the panes of each screen, where they stand, what is in them |
//! | [`layers`] | what lies above a screen and takes the keys |
//! | [`draw`], [`theme`], [`zone`] | the frame, panes and texts; roles and how they look; what time it is where the person is |
//! | [`recording`], [`replay`] | what a feed brought, as a file; the same room played from it |
//! | [`run`], [`terminal`] | the loop and the effects; the terminal, taken and given back |
//!
//! # How do I add a …
//!
//! - **action**: a row in [`actions::ACTIONS`] (name, keys, help, scope) and its arm, in `app/perform.rs` for the room or in `act` of
//!   its layer. Footer, help, palette, `keys.toml` and `fullsend keys` follow. The test
//!   `every_action_does_something_from_each_of_its_keys` presses it: give it something to do in `stage`.
//! - **screen**: a module below `screens/` with `panes(area)`; an arm for it in
//!   [`screens::panes`] (and in [`screens::order`] where not all panes are always there); its panes as variants of [`screens::Pane`],
//!   with an arm in [`screens::content::content`] (what is in it, as messages or entries) and in `title` of [`draw`]. A text to
//!   read is made with [`screens::content::Lines`]; a pane that is no list draws itself: an arm in [`draw::pane`].
//! - **chart**: [`draw::chart`] draws one line of small bars or a number over time; the numbers come from [`store::series`].
//! - **layer**: a module below `layers/` with its state, `act(&mut self, &mut Model, Input) -> Then` and `draw`; a variant of
//!   [`layers::Layer`] and of [`actions::LayerKind`], their arms in `layers.rs`; its actions with the scope `In(…)`. A layer with a text
//!   field says so in `takes_text`, and gets characters before any action does.
//! - **document** that is shown: its prefix in `PREFIXES` of `feed/documents.rs` and beside the channels that ring for it; how it is read
//!   in [`store::documents`].
//! - **effect**: a variant of [`app::Effect`], carried out in `run/effects.rs`; what became of it comes back as an [`app::Outcome`].
//! - **theme**: a file in `themes/` with every role, and its line in [`theme::SHIPPED`]. A person's own are [`theme::person`]'s.
//! - **way of being told**: [`app::told`] says when and what, `terminal::tell` how.
//!
//! Words from outside reach the screen as [`draw::text::Piece`]s that were made harmless where they were read (`contracts::untrusted`).

pub mod actions;
pub mod app;
pub mod draw;
pub mod feed;
pub mod keys;
pub mod layers;
pub mod picture;
pub mod recording;
pub mod replay;
pub mod run;
pub mod screens;
pub mod store;
pub mod terminal;
pub mod theme;
pub mod zone;
