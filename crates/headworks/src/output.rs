//! What commands print: tables and records for people, JSON for programs.
//!
//! A reader that goes away (`headworks camera list | head -1`) is no error.

use std::io::{self, Write as _};

use serde::Serialize;

use crate::failure::Failure;

/// A thing that has a line in a table.
pub(crate) trait Row {
    /// The table's head.
    const COLUMNS: &'static [&'static str];

    /// One text for each column.
    fn cells(&self) -> Vec<String>;
}

/// Prints `text` and a newline.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    match write(text) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(|error| unwritable(&error)),
    }
}

/// Writes bytes as they are. False if the reader has gone away.
pub(crate) fn raw(bytes: &[u8]) -> Result<bool, Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(unwritable(&error)),
    }
}

/// As [`line()`], for what is shown once: it must reach its reader.
pub(crate) fn important_line(text: &str) -> Result<(), Failure> {
    write(text).map_err(|error| unwritable(&error))
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

fn unwritable(error: &io::Error) -> Failure {
    Failure::user(format!("cannot write to stdout: {error}"))
}

/// Prints `value` as JSON over several lines.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    line(&serde_json::to_string_pretty(value).map_err(Failure::from_error)?)
}

/// Prints a list: a table, or a JSON array.
pub(crate) fn list<T: Row + Serialize>(items: &[T], as_json: bool) -> Result<(), Failure> {
    if as_json {
        json(&items)
    } else {
        line(&table(items))
    }
}

/// Prints one thing: a record, or a JSON object.
pub(crate) fn one<T: Serialize>(
    item: &T,
    as_json: bool,
    record: impl FnOnce(&T) -> Vec<(&'static str, String)>,
) -> Result<(), Failure> {
    if as_json {
        json(item)
    } else {
        line(&fields(&record(item)))
    }
}

/// Prints to stderr. If that fails there is nobody to tell.
pub(crate) fn error(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

fn table<T: Row>(items: &[T]) -> String {
    let head = T::COLUMNS
        .iter()
        .map(|column| (*column).to_owned())
        .collect();
    let mut rows = vec![head];
    rows.extend(items.iter().map(Row::cells));
    aligned(&rows)
}

fn fields(fields: &[(&'static str, String)]) -> String {
    let rows: Vec<_> = fields
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| vec![(*name).to_owned(), value.clone()])
        .collect();
    aligned(&rows)
}

/// Columns as wide as their widest cell, two spaces between them.
fn aligned(rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<_> = (0..columns).map(width).collect();
    let lines = rows.iter().map(|row| {
        let mut text = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            text.push_str(&format!("{cell:width$}  "));
        }
        text.trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Pair(&'static str, &'static str);

    impl Row for Pair {
        const COLUMNS: &'static [&'static str] = &["NAME", "STATE"];

        fn cells(&self) -> Vec<String> {
            vec![self.0.to_owned(), self.1.to_owned()]
        }
    }

    #[test]
    fn columns_are_aligned_by_characters() {
        let pairs = [Pair("Café Süd", "live"), Pair("x", "failed")];
        assert_eq!(
            table(&pairs),
            "NAME      STATE\nCafé Süd  live\nx         failed"
        );
        assert_eq!(table::<Pair>(&[]), "NAME  STATE");
    }

    #[test]
    fn records_leave_out_what_is_empty() {
        let record = [
            ("id", "1".to_owned()),
            ("note", String::new()),
            ("name", "x".to_owned()),
        ];
        assert_eq!(fields(&record), "id    1\nname  x");
    }
}
