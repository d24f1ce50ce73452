//! `sendfd` as it is used: real processes, with a limit of time for each.
#![forbid(unsafe_code)]

mod exec;
mod give_take;
mod hold;
mod json;
mod ls;
mod program;
mod succession;
