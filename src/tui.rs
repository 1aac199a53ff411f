//! The control room: everything that is said and done, on one screen, steered from the keyboard.
pub mod actions;
pub mod app;
pub mod draw;
pub mod feed;
pub mod keys;
pub mod layers;
pub mod run;
pub mod screens;
pub mod store;
pub mod terminal;
pub mod theme;
