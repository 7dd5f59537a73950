//! Dividing one data set over hospitals, and a hospital's rows into training and held-out parts.

use std::collections::BTreeMap;

use rand::seq::SliceRandom;
use rand::Rng;
use rand_distr::{Distribution, Gamma};
use serde::{Deserialize, Serialize};

use super::{DataError, Dataset, Site};
use crate::seed;

/// How a data set is divided over hospitals.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub enum Skew {
    /// At random into equal parts.
    Iid,
    /// At random into parts whose sizes follow the power law (k + 1)^−exponent.
    Size {
        /// 0 gives equal parts, 1 Zipf's law; 0 to 4.
        exponent: f64,
    },
    /// Each class is divided in proportions drawn from a symmetric Dirichlet distribution (Hsu, Qi
    /// and Brown 2019, arXiv:1909.06335).
    Label {
        /// Concentration α: 0.1 gives nearly one class a site, 100 nearly equal shares; 0.01 to
        /// 1000.
        alpha: f64,
    },
    /// Each site that the data come in is cut into members of its own, see [`within`]; a data set that
    /// is one site is divided at random into equal parts.
    Within,
}

/// Name of the k-th hospital of a split, from 0: `hospital-01` and so on.
pub fn hospital_name(k: usize) -> String {
    format!("hospital-{:02}", k + 1)
}

/// Divides `data` over `sites` hospitals, each with at least `minimum` rows and at least one.
///
/// # Errors
/// When there are too few rows or the skew's parameter is out of range.
pub fn hospitals(
    data: &Dataset,
    sites: usize,
    skew: Skew,
    minimum: usize,
    seed: u64,
) -> Result<Vec<Dataset>, DataError> {
    let minimum = minimum.max(1);
    let rows = data.rows();
    if sites == 0 || sites.checked_mul(minimum).is_none_or(|least| least > rows) {
        return Err(DataError::TooFewRows { rows, sites, minimum });
    }
    let mut rng = seed::stream(seed, "hospitals", 0, 0);
    let mut parts = match skew {
        Skew::Iid | Skew::Within => by_size(rows, &vec![1.0; sites], minimum, &mut rng),
        Skew::Size { exponent } => {
            check("exponent", exponent, 0.0, 4.0, "0 to 4")?;
            let weights: Vec<f64> = (1..=sites).map(|k| (k as f64).powf(-exponent)).collect();
            by_size(rows, &weights, minimum, &mut rng)
        }
        Skew::Label { alpha } => {
            check("alpha", alpha, 0.01, 1000.0, "0.01 to 1000")?;
            by_class(data, sites, alpha, minimum, &mut rng)
        }
    };
    Ok(parts
        .iter_mut()
        .map(|part| {
            part.sort_unstable();
            data.select(part)
        })
        .collect())
}

fn check(
    name: &'static str,
    found: f64,
    low: f64,
    high: f64,
    expected: &'static str,
) -> Result<(), DataError> {
    if (low..=high).contains(&found) {
        Ok(())
    } else {
        Err(DataError::Parameter { name, found, expected })
    }
}

/// Shuffled rows in parts of `minimum` plus a share of the rest in proportion to `weights`.
fn by_size(rows: usize, weights: &[f64], minimum: usize, rng: &mut impl Rng) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..rows).collect();
    order.shuffle(rng);
    let spare = rows - minimum * weights.len();
    let sizes: Vec<usize> =
        apportion(spare, weights).into_iter().map(|share| share + minimum).collect();
    let mut rest = order.as_slice();
    sizes
        .into_iter()
        .map(|size| {
            let (part, tail) = rest.split_at(size);
            rest = tail;
            part.to_vec()
        })
        .collect()
}

/// Cuts each of `sites` into members, in proportion to its rows and at least one, so that there are
/// `members` in all that keep what their own site has: its device, its prevalence. Training and held-out
/// rows stay what they are; each class of either is dealt out at random, one row to each member in turn.
///
/// # Errors
/// When there are fewer members than sites, or a member would have no row to train on or none held out,
/// or fewer than `minimum` in all.
pub fn within(
    sites: &[Site],
    members: usize,
    minimum: usize,
    seed: u64,
) -> Result<Vec<Site>, DataError> {
    if members < sites.len() || sites.is_empty() {
        let (name, found) = ("members", members as f64);
        let expected = "at least one for each of the data's own sites";
        return Err(DataError::Parameter { name, found, expected });
    }
    let rows_of = |site: &Site| site.train.rows() + site.test.rows();
    let weights: Vec<f64> = sites.iter().map(|site| rows_of(site) as f64).collect();
    let mut counts = apportion(members, &weights);
    while let Some(without) = counts.iter().position(|&count| count == 0) {
        let most = (0..counts.len()).max_by_key(|&k| counts[k]).expect("there is a site");
        counts[most] -= 1;
        counts[without] += 1;
    }
    let mut cut = Vec::with_capacity(members);
    for (k, (site, &count)) in sites.iter().zip(&counts).enumerate() {
        let mut rng = seed::stream(seed, "within", k as u64, 0);
        let train = dealt(&site.train, count, &mut rng);
        let test = dealt(&site.test, count, &mut rng);
        for (j, (train, test)) in train.into_iter().zip(test).enumerate() {
            if train.rows() == 0 || test.rows() == 0 || train.rows() + test.rows() < minimum {
                let rows = rows_of(site);
                return Err(DataError::TooFewRows { rows, sites: count, minimum });
            }
            let name = match count {
                1 => site.name.clone(),
                _ => format!("{}-{:02}", site.name, j + 1),
            };
            cut.push(Site { name, train, test });
        }
    }
    Ok(cut)
}

/// The rows of each class in random order, dealt out to `hands` one by one.
fn dealt(data: &Dataset, hands: usize, rng: &mut impl Rng) -> Vec<Dataset> {
    let mut parts = vec![Vec::new(); hands];
    let mut next = 0;
    for class in 0..data.class_names.len() as u32 {
        let mut order: Vec<usize> =
            (0..data.rows()).filter(|&row| data.labels[row] == class).collect();
        order.shuffle(rng);
        for row in order {
            parts[next % hands].push(row);
            next += 1;
        }
    }
    let parts = parts.iter_mut().map(|part| {
        part.sort_unstable();
        data.select(part)
    });
    parts.collect()
}

/// Each class in Dirichlet proportions; then the largest parts give rows to those under `minimum`.
fn by_class(
    data: &Dataset,
    sites: usize,
    alpha: f64,
    minimum: usize,
    rng: &mut impl Rng,
) -> Vec<Vec<usize>> {
    let mut parts = vec![Vec::new(); sites];
    for class in 0..data.class_names.len() as u32 {
        let mut order: Vec<usize> =
            (0..data.rows()).filter(|&row| data.labels[row] == class).collect();
        order.shuffle(rng);
        let gamma = Gamma::new(alpha, 1.0).expect("alpha is positive");
        let weights: Vec<f64> =
            (0..sites).map(|_| gamma.sample(rng).max(f64::MIN_POSITIVE)).collect();
        let mut rest = order.as_slice();
        for (part, share) in parts.iter_mut().zip(apportion(order.len(), &weights)) {
            let (taken, tail) = rest.split_at(share);
            part.extend_from_slice(taken);
            rest = tail;
        }
    }
    while let Some(poor) = (0..sites).find(|&k| parts[k].len() < minimum) {
        let rich = (0..sites).max_by_key(|&k| parts[k].len()).expect("there is a site");
        let position = rng.gen_range(0..parts[rich].len());
        let row = parts[rich].swap_remove(position);
        parts[poor].push(row);
    }
    parts
}

/// Divides `whole` in proportion to `weights` by largest remainder; ties go to the first.
fn apportion(whole: usize, weights: &[f64]) -> Vec<usize> {
    let total: f64 = weights.iter().sum();
    let exact: Vec<f64> = weights.iter().map(|weight| whole as f64 * weight / total).collect();
    let mut shares: Vec<usize> = exact.iter().map(|share| share.floor() as usize).collect();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by(|&a, &b| (exact[b].fract()).total_cmp(&exact[a].fract()).then(a.cmp(&b)));
    let missing = whole.saturating_sub(shares.iter().sum());
    for &k in order.iter().cycle().take(missing) {
        shares[k] += 1;
    }
    shares
}

/// Divides rows into a training and a held-out part, each class by itself, so that both parts have
/// the prevalence of the whole. A class with a single row stays in training.
///
/// # Errors
/// When there are fewer than two rows or `test_share` is not between 0 and 1.
pub fn train_test(
    data: &Dataset,
    test_share: f64,
    seed: u64,
) -> Result<(Dataset, Dataset), DataError> {
    if !(test_share > 0.0 && test_share < 1.0) {
        let expected = "above 0 and below 1";
        return Err(DataError::Parameter { name: "test_share", found: test_share, expected });
    }
    if data.rows() < 2 {
        return Err(DataError::TooFewRows { rows: data.rows(), sites: 1, minimum: 2 });
    }
    let mut rng = seed::stream(seed, "train-test", 0, 0);
    let (mut train, mut test) = (Vec::new(), Vec::new());
    for class in 0..data.class_names.len() as u32 {
        let mut order: Vec<usize> =
            (0..data.rows()).filter(|&row| data.labels[row] == class).collect();
        order.shuffle(&mut rng);
        let held_out = (order.len() as f64 * test_share).round() as usize;
        let (taken, kept) = order.split_at(held_out.min(order.len().saturating_sub(1)));
        test.extend_from_slice(taken);
        train.extend_from_slice(kept);
    }
    if test.is_empty() {
        test.push(train.pop().expect("there are two rows"));
    }
    train.sort_unstable();
    test.sort_unstable();
    Ok((data.select(&train), data.select(&test)))
}

/// Divides rows into a training and a held-out part so that rows of one group, such as the nodules of
/// one patient, stay together: groups in random order are held out until the part has its share of the
/// rows. `groups` names the group of each row.
///
/// # Errors
/// When there are fewer than two groups or `test_share` is not between 0 and 1.
///
/// # Panics
/// When there is not one group for each row.
pub fn train_test_grouped(
    data: &Dataset,
    groups: &[String],
    test_share: f64,
    seed: u64,
) -> Result<(Dataset, Dataset), DataError> {
    assert_eq!(groups.len(), data.rows(), "one group for each row");
    if !(test_share > 0.0 && test_share < 1.0) {
        let expected = "above 0 and below 1";
        return Err(DataError::Parameter { name: "test_share", found: test_share, expected });
    }
    let mut members: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (row, group) in groups.iter().enumerate() {
        members.entry(group).or_default().push(row);
    }
    if members.len() < 2 {
        return Err(DataError::TooFewRows { rows: members.len(), sites: 1, minimum: 2 });
    }
    let mut order: Vec<&Vec<usize>> = members.values().collect();
    order.shuffle(&mut seed::stream(seed, "train-test", 0, 0));
    let wanted = (data.rows() as f64 * test_share).round().max(1.0) as usize;
    let (mut train, mut test) = (Vec::new(), Vec::new());
    for (k, rows) in order.iter().enumerate() {
        // The last group is for training whatever happens.
        let part = if test.len() < wanted && k + 1 < order.len() { &mut test } else { &mut train };
        part.extend_from_slice(rows);
    }
    train.sort_unstable();
    test.sort_unstable();
    Ok((data.select(&train), data.select(&test)))
}

#[cfg(test)]
mod tests;
