//! The books on disk: a file of JSON lines, each what changed together, as it was afterwards. The last
//! line about a thing is the truth, so reading them all again gives the books.
//!
//! Bounded: rewritten with what is left whenever most of its lines are outdated, and at each start.
//! A line is in the kernel's hands before its change is answered: it survives the end of the process,
//! not of the machine.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::{
    book::{Book, Delivery},
    model::Payment,
};

const FILE: &str = "sandbox.jsonl";
/// Lines that may be outdated before the file is rewritten, beside three for each thing kept.
const SLACK: usize = 10_000;

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Line {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment: Option<Payment>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deliveries: Vec<Delivery>,
}

#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    lines: usize,
}

impl Journal {
    /// Opens the journal of a folder, which is made if it is not there, and reads the books in it.
    pub fn open(folder: &Path) -> Result<(Self, Book)> {
        fs::create_dir_all(folder).with_context(|| format!("could not make {}", folder.display()))?;
        let path = folder.join(FILE);
        let book = match fs::read_to_string(&path) {
            Ok(text) => read(&text).with_context(|| format!("could not read {}", path.display()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Book::default(),
            Err(error) => return Err(error).with_context(|| format!("could not read {}", path.display())),
        };
        let (file, lines) = rewrite(&path, &book)?;
        Ok((Self { path, file, lines }, book))
    }

    pub fn append(&mut self, line: &Line, book: &Book) -> Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.file.write_all(&text)?;
        self.lines += 1;
        if self.lines > 3 * book.len() + SLACK {
            (self.file, self.lines) = rewrite(&self.path, book)?;
        }
        Ok(())
    }
}

/// A last line without its end was cut off by a crash before anybody was answered.
fn read(text: &str) -> Result<Book> {
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let mut book = Book::default();
    for (number, line) in whole.lines().enumerate() {
        let line: Line = serde_json::from_str(line).with_context(|| format!("line {}", number + 1))?;
        line.payment.into_iter().for_each(|payment| book.put(payment));
        line.deliveries.into_iter().for_each(|delivery| book.put_delivery(delivery));
    }
    Ok(book)
}

/// Puts a new file in the old one's place in one step.
fn rewrite(path: &Path, book: &Book) -> Result<(File, usize)> {
    let new = path.with_extension("new");
    let file = File::create(&new).with_context(|| format!("could not write {}", new.display()))?;
    let mut out = BufWriter::new(file);
    let payments = book.payments().map(|payment| Line { payment: Some(payment.clone()), ..Line::default() });
    let deliveries = book.deliveries().map(|it| Line { deliveries: vec![it.clone()], ..Line::default() });
    for line in payments.chain(deliveries) {
        serde_json::to_writer(&mut out, &line)?;
        out.write_all(b"\n")?;
    }
    out.into_inner().map_err(|error| error.into_error())?.sync_all()?;
    fs::rename(&new, path)?;
    Ok((OpenOptions::new().append(true).open(path)?, book.len()))
}

#[cfg(test)]
mod tests {
    use domain::{Timestamp, money::Currency};

    use super::*;
    use crate::{book::MAX_PAYMENTS, model::PaymentState};

    fn payment(id: usize) -> Payment {
        Payment {
            id: format!("sbx_{id}"),
            key: Some(format!("pay_{id}")),
            order_id: "ord_1".to_owned(),
            amount: 1,
            currency: Currency::parse("EUR").unwrap(),
            description: String::new(),
            state: PaymentState::Open,
            failed_tries: 0,
            created_at: Timestamp::UNIX_EPOCH,
            expires_at: None,
            captured: None,
            event_id: None,
            refunds: Vec::new(),
            disputes: Vec::new(),
        }
    }

    #[test]
    fn a_line_cut_off_is_dropped_and_a_spoiled_one_is_an_error() {
        assert_eq!(read("{}\n{\"payment\":{\"id\":\"sb").unwrap().len(), 0);
        assert!(read("{}\n{\"payment\":{}}\n").unwrap_err().to_string().contains("line 2"));
        assert_eq!(read("").unwrap().len(), 0);
    }

    #[test]
    fn outdated_lines_do_not_pile_up() {
        let folder = std::env::temp_dir().join(crate::model::new_id("journal-"));
        let (mut journal, mut book) = Journal::open(&folder).unwrap();
        let changes = SLACK + 10;
        for tries in 0..changes {
            let payment = Payment { failed_tries: tries as u32, ..payment(1) };
            book.put(payment.clone());
            journal.append(&Line { payment: Some(payment), deliveries: Vec::new() }, &book).unwrap();
        }
        let lines = fs::read_to_string(folder.join(FILE)).unwrap().lines().count();
        let (_, again) = Journal::open(&folder).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert!(lines < 10, "{lines} lines are left");
        assert_eq!(again.payment("sbx_1").unwrap().failed_tries as usize, changes - 1);
    }

    #[test]
    fn full_books_forget_the_oldest_by_all_its_names() {
        let mut book = Book::default();
        (0..=MAX_PAYMENTS).for_each(|id| book.put(payment(id)));
        assert_eq!(book.len(), MAX_PAYMENTS);
        assert!(book.payment("sbx_0").is_err() && book.payment("pay_0").is_err());
        assert!(book.payment("pay_1").is_ok());
    }
}
