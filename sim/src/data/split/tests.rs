use super::{apportion, hospitals, train_test, train_test_grouped, within, Skew};
use crate::data::{fixtures::clouds, wdbc, DataError, Dataset, Site};

/// Sorted bits of every row, to compare data sets as multisets.
fn rows_of(parts: &[Dataset]) -> Vec<Vec<u32>> {
    let mut rows: Vec<Vec<u32>> = parts
        .iter()
        .flat_map(|part| {
            part.features.rows().into_iter().zip(&part.labels).map(|(row, &label)| {
                row.iter().map(|value| value.to_bits()).chain([label]).collect::<Vec<u32>>()
            })
        })
        .collect();
    rows.sort_unstable();
    rows
}

#[test]
fn every_split_is_a_seeded_partition_with_a_minimum() {
    let data = wdbc::load();
    let whole = rows_of(std::slice::from_ref(&data));
    for skew in [
        Skew::Iid,
        Skew::Size { exponent: 2.0 },
        Skew::Label { alpha: 0.05 },
        Skew::Label { alpha: 100.0 },
    ] {
        for sites in [1, 4, 13, 50] {
            let parts = hospitals(&data, sites, skew, 8, 7).expect("enough rows");
            assert_eq!(parts.len(), sites);
            assert!(parts.iter().all(|part| part.rows() >= 8), "{skew:?} {sites}");
            assert_eq!(rows_of(&parts), whole, "{skew:?} {sites}");
            assert_eq!(parts, hospitals(&data, sites, skew, 8, 7).expect("enough rows"));
            if sites > 1 {
                assert_ne!(parts, hospitals(&data, sites, skew, 8, 8).expect("enough rows"));
            }
        }
    }
}

#[test]
fn skews_do_what_they_say() {
    let data = wdbc::load();
    let sizes = |skew| -> Vec<usize> {
        hospitals(&data, 5, skew, 1, 3).expect("enough rows").iter().map(Dataset::rows).collect()
    };
    assert_eq!(sizes(Skew::Iid), [114, 114, 114, 114, 113]);
    let zipf = sizes(Skew::Size { exponent: 1.0 });
    assert!(zipf.windows(2).all(|pair| pair[0] > pair[1]) && zipf[0] > 4 * zipf[4], "{zipf:?}");
    // Spread of prevalence over sites, averaged over seeds, falls as alpha grows.
    let spread = |alpha| -> f64 {
        let seeds = 0..20;
        seeds
            .map(|seed| {
                let parts = hospitals(&data, 5, Skew::Label { alpha }, 1, seed).expect("rows");
                let shares: Vec<f64> =
                    parts.iter().map(|part| part.count(1) as f64 / part.rows() as f64).collect();
                shares.iter().fold(0.0f64, |max, &s| max.max(s))
                    - shares.iter().fold(1.0f64, |min, &s| min.min(s))
            })
            .sum::<f64>()
            / 20.0
    };
    let (strong, weak, none) = (spread(0.1), spread(10.0), spread(1000.0));
    assert!(strong > 0.85 && strong > weak && weak > none && none < 0.1, "{strong} {weak} {none}");
}

#[test]
fn impossible_splits_are_refused_with_the_numbers() {
    let data = clouds(20, 2, 1);
    for (sites, minimum) in [(0, 1), (21, 0), (5, 5), (usize::MAX, 2)] {
        let error = hospitals(&data, sites, Skew::Iid, minimum, 1).expect_err("too few rows");
        assert!(matches!(error, DataError::TooFewRows { rows: 20, .. }), "{error}");
    }
    for skew in [Skew::Label { alpha: 0.0 }, Skew::Size { exponent: f64::NAN }] {
        let error = hospitals(&data, 2, skew, 1, 1).expect_err("out of range");
        assert!(matches!(error, DataError::Parameter { .. }), "{error}");
    }
}

#[test]
fn held_out_parts_keep_the_prevalence() {
    let data = wdbc::load();
    let (train, test) = train_test(&data, 0.3, 5).expect("enough rows");
    assert_eq!((test.count(1), test.count(0)), (64, 107));
    assert_eq!(rows_of(&[train, test]), rows_of(std::slice::from_ref(&data)));
    // The only row of a class is needed for training.
    let mut odd = clouds(9, 2, 1);
    odd.labels.fill(1);
    odd.labels[4] = 0;
    let (train, test) = train_test(&odd, 0.34, 5).expect("enough rows");
    assert_eq!((train.count(0), test.count(0), test.rows()), (1, 0, 3));
    let pair = clouds(2, 2, 1);
    let (train, test) = train_test(&pair, 0.5, 5).expect("two rows");
    assert_eq!((train.rows(), test.rows()), (1, 1));
    assert!(train_test(&pair, 1.0, 5).is_err());
    assert!(train_test(&pair.select(&[0]), 0.5, 5).is_err());
}

#[test]
fn shares_add_up() {
    assert_eq!(apportion(10, &[1.0, 1.0, 1.0]), [4, 3, 3]);
    assert_eq!(apportion(0, &[1.0, 2.0]), [0, 0]);
    assert_eq!(apportion(7, &[1e-300, 1.0]), [0, 7]);
}

#[test]
fn groups_stay_together() {
    let data = clouds(90, 2, 1);
    let groups: Vec<String> = (0..90).map(|row| format!("patient-{}", row % 20)).collect();
    let (train, test) = train_test_grouped(&data, &groups, 0.3, 1).expect("enough groups");
    assert_eq!(train.rows() + test.rows(), 90);
    assert!((27..33).contains(&test.rows()), "{}", test.rows());
    let held_out = rows_of(std::slice::from_ref(&test));
    for group in 0..20 {
        let rows: Vec<usize> = (0..90).filter(|row| row % 20 == group).collect();
        let own = rows_of(&[data.select(&rows)]);
        let inside = own.iter().filter(|row| held_out.contains(row)).count();
        assert!(inside == 0 || inside == own.len(), "{group}");
    }
    let one = vec!["a".to_owned(); 90];
    assert!(matches!(train_test_grouped(&data, &one, 0.3, 1), Err(DataError::TooFewRows { .. })));
}

#[test]
fn sites_are_cut_within_themselves() {
    let sites: Vec<Site> = [("ge", 301), ("philips", 21), ("siemens", 120)]
        .iter()
        .enumerate()
        .map(|(k, (name, rows))| {
            let whole = clouds(*rows, 3, k as u64);
            let (train, test) = train_test(&whole, 0.3, 1).expect("enough rows");
            Site { name: (*name).to_owned(), train, test }
        })
        .collect();
    let members = within(&sites, 9, 4, 5).expect("enough rows");
    let count = |name: &str| members.iter().filter(|m| m.name.starts_with(name)).count();
    // In proportion to 301 : 21 : 120 it would be 6, 0 and 3: the least has one all the same.
    assert_eq!((count("ge"), count("philips"), count("siemens")), (5, 1, 3));
    assert_eq!((members[0].name.as_str(), members[5].name.as_str()), ("ge-01", "philips"));
    for site in &sites {
        let own: Vec<&Site> = members.iter().filter(|m| m.name.starts_with(&site.name)).collect();
        for part in [(|site| &site.train) as fn(&Site) -> &Dataset, |site| &site.test] {
            let parts: Vec<Dataset> = own.iter().map(|member| part(member).clone()).collect();
            assert_eq!(rows_of(&parts), rows_of(std::slice::from_ref(part(site))));
            let spread = |of: &dyn Fn(&Dataset) -> usize| {
                let sizes: Vec<usize> = parts.iter().map(of).collect();
                sizes.iter().max().expect("parts") - sizes.iter().min().expect("parts")
            };
            assert!(spread(&Dataset::rows) <= 1 && spread(&|part| part.count(1)) <= 1);
        }
    }
    assert_eq!(members, within(&sites, 9, 4, 5).expect("enough rows"));
    assert_ne!(members, within(&sites, 9, 4, 6).expect("enough rows"));
    for (members, minimum) in [(2, 4), (9, 100), (400, 1)] {
        assert!(within(&sites, members, minimum, 5).is_err(), "{members} {minimum}");
    }
}
