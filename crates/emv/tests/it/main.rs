//! Runs with scripted cards, by phase.
mod bits;
mod bounds;
mod card;
mod cardholder;
mod completion;
mod cryptogram;
mod records;
mod restrictions;
mod risk;
mod selection;
