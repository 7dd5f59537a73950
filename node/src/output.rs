//! What the command line prints: tables for people, JSON for programs, progress on a terminal.

use std::io::{IsTerminal as _, Write as _};

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use serde_json::json;

use crate::exit::Failure;

/// The form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum OutputFormat {
    /// Tables and sentences.
    #[default]
    Text,
    /// One JSON document on standard output; errors are one JSON document on standard error.
    Json,
}

impl OutputFormat {
    /// Prints `value` as JSON, or what `text` makes of it.
    ///
    /// # Errors
    /// When standard output is closed.
    pub fn print<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        let rendered = match self {
            Self::Text => text(value),
            Self::Json => serde_json::to_string_pretty(value)
                .expect("the types of the command line have text keys and finite numbers"),
        };
        print_line(rendered.trim_end_matches('\n'))
    }

    /// Prints a failure to standard error.
    pub fn print_failure(self, failure: &Failure) {
        let text = match self {
            Self::Text => failure_text(failure),
            Self::Json => format!("{:#}\n", failure_json(failure)),
        };
        // Nothing is left to tell anybody when standard error is closed.
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }

    /// A progress bar over `total` units on standard error; invisible unless that is a terminal.
    pub fn progress(self, total: u64, what: &'static str, unit: Unit) -> ProgressBar {
        let visible = std::io::stderr().is_terminal();
        let target =
            if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(total), target);
        let style = ProgressStyle::with_template(unit.template())
            .expect("the templates are constants that the tests render");
        bar.set_style(style.progress_chars("=> "));
        bar.set_message(what);
        bar
    }
}

/// What a progress bar counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Files, blocks, rounds.
    Things,
}

impl Unit {
    fn template(self) -> &'static str {
        match self {
            Self::Bytes => "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}",
            Self::Things => "{msg} [{bar:30}] {pos}/{len} {eta}",
        }
    }
}

fn failure_text(failure: &Failure) -> String {
    let mut text = format!("error: {}\n", failure.message);
    if let Some(hint) = &failure.hint {
        text += &format!("hint: {hint}\n");
    }
    text
}

fn failure_json(failure: &Failure) -> serde_json::Value {
    json!({ "error": {
        "exit": failure.exit.name(),
        "exit_code": failure.exit as u8,
        "message": failure.message,
        "field": failure.field,
        "hint": failure.hint,
    }})
}

/// Prints a line to standard output. A reader that closed the pipe (`| head`) is not an error.
///
/// # Errors
/// When standard output cannot be written for any other reason.
pub fn print_line(line: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::internal(format!("standard output cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}

/// A table with a header, columns padded to their longest cell. Numeric columns are right-aligned.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([header[column].chars().count()]).max().unwrap_or(0)
    };
    let numeric = |column: usize| {
        !rows.is_empty()
            && rows.iter().all(|row| {
                let cell = row[column].as_str();
                let cell = cell.strip_prefix('-').filter(|rest| !rest.is_empty()).unwrap_or(cell);
                cell == "-" || cell.starts_with(|c: char| c.is_ascii_digit()) && is_number(cell)
            })
    };
    let columns: Vec<(usize, bool)> =
        (0..header.len()).map(|column| (width(column), numeric(column))).collect();
    let line = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&columns).map(|(cell, (width, numeric))| {
            let pad = " ".repeat(width - cell.chars().count());
            if *numeric {
                format!("{pad}{cell}")
            } else {
                format!("{cell}{pad}")
            }
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let body = rows.iter().map(|row| line(row.iter().map(String::as_str).collect()));
    line(header.to_vec()) + &body.collect::<String>()
}

fn is_number(cell: &str) -> bool {
    cell.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | ',' | '%' | '/' | 'x'))
}

/// Lines of `name: value`, the values aligned.
pub fn fields(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.iter()
        .fold(String::new(), |text, (name, value)| text + &format!("{name:<width$}  {value}\n"))
}

/// A number of millionths as a decimal with `digits` places, rounded down: 1234567 → `1.234`.
pub fn micro(value: u64, digits: usize) -> String {
    let text = format!("{}.{:06}", value / 1_000_000, value % 1_000_000);
    text[..text.len() - 6 + digits.clamp(1, 6)].to_owned()
}

/// Milliseconds since 1970 as `2026-01-31T12:34:56Z` (proleptic Gregorian calendar, UTC).
pub fn utc(ms: u64) -> String {
    let seconds = ms / 1000;
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // Days to civil date, after H. Hinnant, "chrono-compatible low-level date algorithms".
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[test]
    fn tables_align_text_left_and_numbers_right() {
        let rows = vec![vec!["a".into(), "7".into()], vec!["longer".into(), "1234".into()]];
        assert_eq!(
            table(&["member", "examples"], &rows),
            "member  examples\na              7\nlonger      1234\n"
        );
        let signed = vec![vec!["-0.5".into()], vec!["12.5".into()], vec!["-".into()]];
        assert_eq!(table(&["x"], &signed), "   x\n-0.5\n12.5\n   -\n");
        assert_eq!(table(&["x"], &[]), "x\n");
    }

    #[test]
    fn times_are_civil() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(ms), text);
        }
    }

    #[test]
    fn millionths_are_cut_not_rounded() {
        assert_eq!(micro(1_999_999, 3), "1.999");
        assert_eq!(micro(1, 6), "0.000001");
        assert_eq!(micro(500_000, 1), "0.5");
    }

    #[test]
    fn failures_are_readable_both_ways() {
        let failure = Failure::new(Exit::Refused, "no such task").hint("see `fedledger task list`");
        assert_eq!(
            failure_text(&failure),
            "error: no such task\nhint: see `fedledger task list`\n"
        );
        let json = failure_json(&failure);
        assert_eq!(json["error"]["exit"], "refused");
        assert_eq!(json["error"]["exit_code"], 4);
    }

    #[test]
    fn every_progress_template_renders() {
        for unit in [Unit::Bytes, Unit::Things] {
            OutputFormat::Text.progress(10, "reading", unit).finish_and_clear();
        }
    }
}
