//! What the contract's history buys, seed by seed: attackers caught and when, honest members
//! quarantined, accuracy, recall and worst site beside plain averaging and attackers absent.
//!
//! `cargo run --release -p fedledger-sim --example history -- <first seed> <seeds> [words...]` runs
//! the cases whose name holds every word. `PROFILE=strict` or `evaluated` measures that profile
//! instead of the balanced one, `HISTORY=none` leaves the history out, `REPORTS=inverted` or
//! `framing` makes the hostile members lie about candidates.

use std::error::Error;

use fedledger_contract::profile::{apply, Profile};
use fedledger_ledger::task::TaskSpec;
use fedledger_sim::attack::silent_drift::{Form, SilentDrift};
use fedledger_sim::attack::{
    Alie, Attack, Framing, InnerProduct, Knowledge, LabelFlip, MinMax, MinSum,
};
use fedledger_sim::attack::{PoisonedFl, Rop, Schedule, SignFlip};
use fedledger_sim::comparison::{default_task, mean_task};
use fedledger_sim::data::synthetic::Synthetic;
use fedledger_sim::data::{hospitals, load_csv_folder, reference_data, split, train_test, wdbc};
use fedledger_sim::data::{CsvOptions, Dataset, Site, Skew};
use fedledger_sim::federation::Evaluations;
use fedledger_sim::metrics::Metrics;
use fedledger_sim::scenario::Scenario;
use fedledger_sim::seed;
use ndarray::Axis;
use rand::seq::SliceRandom;
use rayon::prelude::*;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Rounds of each run, and the first hostile one.
const ROUNDS: u64 = 63;
const ONSET: u64 = 21;

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, other| args.get(at).map_or(Ok(other), |word| word.parse::<u64>());
    let (first, seeds) = (number(0, 1)?, number(1, 5)?);
    let words: Vec<&String> = args.iter().skip(2).collect();
    println!(
        "{:44} {:>18} {:>18} {:>18}  caught ≤25 median  honest  frozen  worst",
        "accuracy/recall/probability of positives", "with history", "attackers absent", "averaging",
    );
    for (data, sites) in data() {
        for (attack, hostile) in attacks() {
            let name = format!("{data}, {attack}");
            if !words.iter().all(|word| name.contains(word.as_str())) {
                continue;
            }
            let runs: Vec<Run> = (first..first + seeds)
                .into_par_iter()
                .map(|seed| run(sites(seed)?, hostile.as_ref(), seed))
                .collect::<Outcome<_>>()?;
            print(&name, &runs);
        }
    }
    Ok(())
}

type Sites = Box<dyn Fn(u64) -> Outcome<Scenario> + Sync>;

fn data() -> Vec<(&'static str, Sites)> {
    let cancer = |skew, local| -> Sites {
        Box::new(move |seed| {
            let parts = hospitals(&wdbc::load(), 13, skew, 16, seed)?;
            scenario(sites_of(parts, seed)?, local, seed)
        })
    };
    let generated = |shift, local| -> Sites {
        Box::new(move |seed| {
            let made =
                Synthetic { prevalence_shift: shift, feature_shift: 0.3, ..Synthetic::default() };
            scenario(made.generate(seed)?.0, local, seed)
        })
    };
    // As in the scenario `silent-drift`.
    let referral = |local| -> Sites {
        Box::new(move |seed| {
            let made = Synthetic {
                rows: 150,
                prevalence: 0.65,
                signal: 6.0,
                prevalence_shift: 0.3,
                feature_shift: 0.2,
                ..Synthetic::default()
            };
            scenario(made.generate(seed)?.0, local, seed)
        })
    };
    let stroke = |local| -> Sites { Box::new(move |seed| scenario(stroke(seed)?, local, seed)) };
    let skewed = |alpha| Skew::Label { alpha };
    vec![
        ("wdbc alike short", cancer(Skew::Iid, (1, 32))),
        ("wdbc alike long", cancer(Skew::Iid, (3, 16))),
        ("wdbc skewed short", cancer(skewed(1.0), (1, 32))),
        ("wdbc skewed long", cancer(skewed(1.0), (3, 16))),
        ("wdbc very skewed short", cancer(skewed(0.5), (1, 32))),
        ("generated short", generated(0.5, (1, 32))),
        ("referral short", referral((1, 32))),
        ("generated long", generated(1.0, (3, 16))),
        ("stroke short", stroke((1, 32))),
        ("stroke long", stroke((3, 16))),
    ]
}

fn scenario(sites: Vec<Site>, local: (usize, usize), seed: u64) -> Outcome<Scenario> {
    let mut scenario = Scenario::new(sites, 0, Attack::SignFlip(SignFlip::default()), seed)?;
    (scenario.training.epochs, scenario.training.batch_size) = local;
    scenario.rounds = ROUNDS;
    Ok(scenario)
}

fn sites_of(parts: Vec<Dataset>, seed: u64) -> Outcome<Vec<Site>> {
    let mut sites = Vec::new();
    for (k, part) in parts.iter().enumerate() {
        let (train, test) = train_test(part, 0.3, seed + k as u64)?;
        sites.push(Site { name: split::hospital_name(k), train, test });
    }
    Ok(sites)
}

/// Thirteen hospitals of the International Stroke Trial with at least 50 patients each.
fn stroke(seed: u64) -> Outcome<Vec<Site>> {
    let path = reference_data("ist_stroke/tidy").ok_or("the reference data are not here")?;
    let drop = [
        "row",
        "country",
        "pilot_phase",
        "expd6_published",
        "expdd_published",
        "expd14_published",
        "died_14d",
        "dead_6m",
        "rx_aspirin",
        "rx_heparin",
    ];
    let drop = drop.map(str::to_owned).to_vec();
    let options =
        CsvOptions { drop, drop_indeterminate: true, ..CsvOptions::new("dead_or_dependent_6m") };
    let mut parts = Vec::new();
    for country in load_csv_folder(&path, &options)? {
        let whole = Dataset::union([&country.train, &country.test]).ok_or("no rows")?;
        let column =
            whole.feature_names.iter().position(|name| name == "hospital").ok_or("no hospital")?;
        let ids: Vec<u32> = whole.features.column(column).iter().map(|&id| id as u32).collect();
        let mut known = ids.clone();
        known.sort_unstable();
        known.dedup();
        let others: Vec<usize> = (0..whole.width()).filter(|&k| k != column).collect();
        for id in known {
            let rows: Vec<usize> = (0..ids.len()).filter(|&row| ids[row] == id).collect();
            let mut part = whole.select(&rows);
            part.features = part.features.select(Axis(1), &others);
            part.feature_names = others.iter().map(|&k| whole.feature_names[k].clone()).collect();
            if rows.len() >= 50 && part.count(0).min(part.count(1)) >= 3 {
                parts.push(part);
            }
        }
    }
    parts.shuffle(&mut seed::stream(seed, "stroke", 0, 0));
    parts.truncate(13);
    sites_of(parts, seed)
}

/// What hostile members do and when; nothing for nobody.
type Hostile = Option<(Attack, Schedule)>;

fn attacks() -> Vec<(&'static str, Hostile)> {
    let later = Schedule { from: ONSET, ..Schedule::default() };
    let ramp = |ramp| Schedule { ramp, ..later };
    let drift =
        |form, kappa| Attack::SilentDrift(SilentDrift { form, kappa, ..SilentDrift::default() });
    let half = Schedule { period: 10, duty: 0.5, ..ramp(20) };
    let labels = || drift(Form::Labels, 2.0);
    vec![
        ("nobody hostile", None),
        ("labels ramp 20", Some((labels(), ramp(20)))),
        ("labels ramp 40", Some((labels(), ramp(40)))),
        ("labels at once", Some((labels(), later))),
        ("labels from round 1", Some((labels(), Schedule::default()))),
        ("drift 1", Some((drift(Form::Directed, 1.0), ramp(20)))),
        ("drift 2", Some((drift(Form::Directed, 2.0), ramp(20)))),
        ("drift 4", Some((drift(Form::Directed, 4.0), ramp(20)))),
        ("drift 4 half", Some((drift(Form::Directed, 4.0), half))),
        ("decorrelated 2", Some((drift(Form::Decorrelated, 2.0), ramp(20)))),
        ("decorrelated 4", Some((drift(Form::Decorrelated, 4.0), ramp(20)))),
        ("target 2", Some((drift(Form::Target, 2.0), ramp(20)))),
        ("inner product", Some((Attack::InnerProduct(InnerProduct { epsilon: 0.5 }), later))),
        ("alie", Some((Attack::Alie(Alie::default()), later))),
        ("sign flip", Some((Attack::SignFlip(SignFlip { scale: 1.0 }), later))),
        ("label flip", Some((Attack::LabelFlip(LabelFlip::default()), later))),
        ("flip from round 1", Some((Attack::LabelFlip(LabelFlip::default()), Schedule::default()))),
        ("drift 2 from round 1", Some((drift(Form::Directed, 2.0), Schedule::default()))),
        (
            "decorrelated 2 from round 1",
            Some((drift(Form::Decorrelated, 2.0), Schedule::default())),
        ),
        ("framing from round 1", Some((Attack::Framing(Framing::default()), Schedule::default()))),
        ("framing later", Some((Attack::Framing(Framing::default()), later))),
        ("min-max", Some((Attack::MinMax(MinMax::default()), later))),
        ("min-sum", Some((Attack::MinSum(MinSum::default()), later))),
        ("rop", Some((Attack::Rop(Rop::default()), later))),
        ("poisoned fl", Some((Attack::PoisonedFl(PoisonedFl::default()), later))),
    ]
}

/// One seed.
struct Run {
    defended: Metrics,
    absent: Metrics,
    averaged: Metrics,
    worst: f64,
    /// For each hostile member, rounds from the onset to its first quarantine.
    caught: Vec<Option<u64>>,
    honest: usize,
    honest_quarantined: usize,
    frozen: bool,
}

fn balanced(scenario: &Scenario) -> Outcome<TaskSpec> {
    let profile = match std::env::var("PROFILE").as_deref() {
        Ok("strict") => Profile::Strict,
        Ok("evaluated") => Profile::Evaluated,
        _ => Profile::Balanced,
    };
    let mut task = apply(profile, default_task(scenario)?, scenario.sites.len());
    if std::env::var("HISTORY").as_deref() == Ok("none") {
        task.history = None;
    }
    Ok(task)
}

fn run(mut scenario: Scenario, hostile: Option<&(Attack, Schedule)>, seed: u64) -> Outcome<Run> {
    if let Some((attack, schedule)) = hostile {
        let mut lot: Vec<usize> = (0..scenario.sites.len()).collect();
        lot.shuffle(&mut seed::stream(seed, "coalition", 0, 0));
        scenario = scenario.with_hostile(&lot[..4]);
        scenario.attack = attack.clone();
        scenario.schedule = *schedule;
        scenario.evaluations = match std::env::var("REPORTS").as_deref() {
            Ok("inverted") => Evaluations::Inverted,
            Ok("framing") => Evaluations::Framing,
            _ => Evaluations::Honest,
        };
    }
    let honest = scenario.honest();
    let mut federation = scenario.federation(balanced(&scenario)?, Knowledge::Colluders)?;
    let reports = federation.run()?;
    let first = |member: usize| {
        reports.iter().find(|report| report.quarantined().contains(&member)).map(|r| r.round)
    };
    let onset = scenario.schedule.from;
    let model = federation.model();
    let mut averaged = scenario.federation(mean_task(&scenario)?, Knowledge::Colluders)?;
    averaged.run()?;
    let alone = scenario.attackers_absent();
    let mut absent = alone.federation(balanced(&alone)?, Knowledge::Colluders)?;
    absent.run()?;
    let accuracy = |k: &usize| scenario.evaluate(&model, &[*k]).accuracy;
    Ok(Run {
        defended: scenario.evaluate(&model, &honest),
        absent: scenario.evaluate(&absent.model(), &honest),
        averaged: scenario.evaluate(&averaged.model(), &honest),
        worst: honest.iter().map(accuracy).fold(1.0, f64::min),
        caught: scenario
            .hostile
            .iter()
            .map(|&k| first(k).map(|round| round.saturating_sub(onset)))
            .collect(),
        honest: honest.len(),
        honest_quarantined: honest.iter().filter(|&&k| first(k).is_some()).count(),
        frozen: federation.is_frozen(),
    })
}

fn print(name: &str, runs: &[Run]) {
    let mean = |of: &dyn Fn(&Run) -> f64| runs.iter().map(of).sum::<f64>() / runs.len() as f64;
    let three = |of: &dyn Fn(&Run) -> Metrics| {
        format!(
            "{:.3}/{:.3}/{:.3}",
            mean(&|run| of(run).accuracy),
            mean(&|run| of(run).recall.unwrap_or(0.0)),
            mean(&|run| of(run).positive_probability.unwrap_or(0.0)),
        )
    };
    let all: Vec<Option<u64>> = runs.iter().flat_map(|run| run.caught.clone()).collect();
    let mut delays: Vec<u64> = all.iter().flatten().copied().collect();
    delays.sort_unstable();
    let soon = delays.iter().filter(|&&delay| delay <= 25).count();
    println!(
        "{name:44} {:>18} {:>18} {:>18}  {:>3}/{:<3} {soon:>3} {:>4}  {}/{}  {}  {:.3}",
        three(&|run| run.defended),
        three(&|run| run.absent),
        three(&|run| run.averaged),
        delays.len(),
        all.len(),
        delays.get(delays.len() / 2).map_or("-".into(), u64::to_string),
        runs.iter().map(|run| run.honest_quarantined).sum::<usize>(),
        runs.iter().map(|run| run.honest).sum::<usize>(),
        runs.iter().filter(|run| run.frozen).count(),
        mean(&|run| run.worst),
    );
}
