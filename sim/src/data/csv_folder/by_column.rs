//! Institutions that a column of the files names: the hospitals of a country's file.

use std::collections::BTreeMap;
use std::path::Path;

use rand::seq::SliceRandom;

use super::{DataError, Part, Table, FILES_MAX};
use crate::seed;

/// Fewest rows of an institution unless something else is asked for: with fewer, what it holds out says
/// nothing about the model.
pub const SITE_ROWS_MIN: usize = 50;
/// Fewest rows of each class of an institution, so that both parts of its rows have both.
pub const SITE_CLASS_ROWS_MIN: usize = 3;

/// How the rows of each file are divided into institutions. Those with too few rows are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteColumn {
    /// The column that names the institution of a row; the same name in another file is another one.
    pub column: String,
    /// Fewest rows of an institution; of each class, it has at least [`SITE_CLASS_ROWS_MIN`].
    pub rows_min: usize,
    /// How many institutions are drawn by the seed; 0 for all.
    pub members: usize,
}

impl SiteColumn {
    /// The institutions of one file, in the order of their names, without those that are too small.
    pub(super) fn parts_of(&self, stem: &str, path: &Path, table: &Table) -> Vec<Part> {
        let mut rows_of: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (row, site) in table.sites.iter().flatten().enumerate() {
            rows_of.entry(site).or_default().push(row);
        }
        let enough = |rows: &Vec<usize>| {
            let positive = rows.iter().filter(|&&row| table.data.labels[row] == 1).count();
            rows.len() >= self.rows_min
                && positive.min(rows.len() - positive) >= SITE_CLASS_ROWS_MIN
        };
        let large = rows_of.into_iter().filter(|(_, rows)| enough(rows));
        large
            .map(|(site, rows)| Part {
                name: format!("{stem}-{site}"),
                path: path.to_owned(),
                table: table.select(&rows),
            })
            .collect()
    }

    /// Which of `found` institutions take part, ascending.
    pub(super) fn draw(
        &self,
        folder: &Path,
        found: usize,
        seed: u64,
    ) -> Result<Vec<usize>, DataError> {
        let mut lot: Vec<usize> = (0..found).collect();
        if self.members > 0 {
            lot.shuffle(&mut seed::stream(seed, "sites", 0, 0));
            lot.truncate(self.members);
            lot.sort_unstable();
        }
        let wanted = self.members.max(1);
        if lot.len() < wanted || lot.len() > FILES_MAX {
            return Err(DataError::Sites {
                path: folder.to_owned(),
                column: self.column.clone(),
                rows_min: self.rows_min,
                found,
                least: wanted,
                most: if self.members > 0 { usize::MAX } else { FILES_MAX },
            });
        }
        Ok(lot)
    }
}
