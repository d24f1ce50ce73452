//! Standard output: lines for people, or JSON for programs.

use crate::failure::{Failure, Result, Status};
use serde_json::Value;
use std::io::{self, ErrorKind, Write};

/// Prints one line.
///
/// A reader that has gone is no error of what was done.
pub fn line(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(format!("{text}\n").as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(Status::Refused, format_args!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}

pub fn json(value: &Value) -> Result<()> {
    line(&value.to_string())
}

/// A table with a title over each column; the last one is not padded.
pub fn table(titles: &[&str], rows: &[Vec<String>]) -> Result<()> {
    let mut widths: Vec<usize> = titles.iter().map(|title| title.len()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    let titles: Vec<String> = titles.iter().map(|title| (*title).to_owned()).collect();
    for row in std::iter::once(&titles).chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    line(text.trim_end())
}

/// What others have written, safe on a terminal.
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
