//! Pictures of the members: trust by round, and how long attackers stayed in.

use super::svg::{ticks, Anchor, Svg};
use crate::lab::results::{MemberTrack, SeedResult};

const WIDTH: f64 = 860.0;
const LEFT: f64 = 178.0;
const RIGHT: f64 = 76.0;
const ROW: f64 = 20.0;
const TOP: f64 = 26.0;
/// Most columns; more rounds are shown by every k-th.
const COLUMNS_MAX: usize = 130;

/// One row a member, one column a round: the darker, the more trusted; hatched while in quarantine.
pub(super) fn trust(seed: &SeedResult) -> String {
    let mut members: Vec<&MemberTrack> = seed.attacked.members.iter().collect();
    members.sort_by_key(|member| (!member.hostile, member.member.clone()));
    let rounds = members.iter().map(|member| member.trust_micro.len()).max().unwrap_or(0);
    if rounds == 0 {
        return String::new();
    }
    let every = rounds.div_ceil(COLUMNS_MAX);
    let columns = rounds.div_ceil(every);
    let width = (WIDTH - LEFT - RIGHT) / columns as f64;
    let hostile = members.iter().filter(|member| member.hostile).count();
    let gap = if hostile > 0 && hostile < members.len() { 8.0 } else { 0.0 };
    let height = TOP + ROW * members.len() as f64 + gap + 44.0;
    let mut svg = Svg::new(WIDTH, height);
    for (k, member) in members.iter().enumerate() {
        let y = TOP + ROW * k as f64 + if k >= hostile { gap } else { 0.0 };
        let (mark, class) = match (member.hostile, member.changed) {
            (true, _) => ("▲ attacker  ", "name hostile"),
            (false, Some(_)) => ("◆ changed  ", "name"),
            (false, None) => ("", "name"),
        };
        let name = format!("{mark}{}", shortened(&member.member));
        svg.text((LEFT - 8.0, y + 14.0), Anchor::End, class, &name);
        strip(&mut svg, member, (y, width), every);
        let end =
            member.quarantined.map_or("stayed in".to_owned(), |round| format!("out in {round}"));
        let class = if member.quarantined.is_some() { "name out" } else { "name" };
        svg.text((WIDTH - RIGHT + 8.0, y + 14.0), Anchor::Start, class, &end);
    }
    let bottom = height - 40.0;
    for tick in ticks(1.0, rounds as f64, 10).into_iter().filter(|t| t.fract() == 0.0 && *t >= 1.0)
    {
        let x = LEFT + (tick - 0.5) / every as f64 * width;
        svg.line((x, bottom), (x, bottom + 4.0), "axis");
        svg.text((x, bottom + 17.0), Anchor::Middle, "tick", &format!("{tick}"));
    }
    svg.text((f64::midpoint(LEFT, WIDTH - RIGHT), height - 6.0), Anchor::Middle, "label", "round");
    for (round, word) in [(seed.onset, "attack begins"), (seed.changed, "honest change")] {
        let Some(round) = round.filter(|round| *round > 1) else { continue };
        let x = LEFT + (round - 1) as f64 / every as f64 * width;
        svg.line((x, TOP - 6.0), (x, bottom), "mark");
        svg.text((x, TOP - 10.0), Anchor::Middle, "note", word);
    }
    svg.finish("Trust of each member by round; attackers are named as such, quarantine is hatched")
}

fn strip(svg: &mut Svg, member: &MemberTrack, (y, width): (f64, f64), every: usize) {
    let standing = member.standing.as_bytes();
    let strikes = member.strike.as_bytes();
    for (column, start) in (0..member.trust_micro.len()).step_by(every).enumerate() {
        let x = LEFT + column as f64 * width;
        let end = (start + every).min(standing.len());
        let (corner, size) = ((x, y + 1.0), (width + 0.3, ROW - 2.0));
        if standing[start..end].contains(&b'q') {
            svg.rect(corner, size, "cell", "fill=\"url(#hatch)\"");
            continue;
        }
        let share = f64::from(member.trust_micro[end - 1]) / 1e6;
        svg.rect(corner, size, "cell", &format!("fill=\"{}\"", shade(share)));
        if strikes[start..end].contains(&b'x') {
            svg.circle((x + width / 2.0, y + ROW / 2.0), (width / 3.0).clamp(1.2, 2.6), "strike");
        }
    }
}

/// From nearly white at no trust to a dark blue at full trust.
pub(super) fn shade(share: f64) -> String {
    let share = share.clamp(0.0, 1.0);
    let mix = |from: f64, to: f64| (from + (to - from) * share).round() as u8;
    format!("#{:02x}{:02x}{:02x}", mix(247.0, 8.0), mix(251.0, 81.0), mix(255.0, 156.0))
}

fn shortened(name: &str) -> String {
    const LONGEST: usize = 18;
    if name.chars().count() <= LONGEST {
        return name.to_owned();
    }
    name.chars().take(LONGEST - 1).chain(['…']).collect()
}

/// One dot for each attacker of each seed: rounds from onset to quarantine, those never caught at
/// the right.
pub(super) fn delays(seeds: &[SeedResult]) -> String {
    let all: Vec<(u64, Vec<Option<u64>>)> =
        seeds.iter().map(|seed| (seed.seed, seed.delays())).filter(|d| !d.1.is_empty()).collect();
    if all.is_empty() {
        return String::new();
    }
    let longest = all.iter().flat_map(|(_, delays)| delays.iter().flatten()).max();
    let span = longest.map_or(10.0, |longest| (*longest as f64).max(5.0));
    let (width, left, never_x) = (540.0, 70.0, 490.0);
    let row = if all.len() > 12 { 14.0 } else { 22.0 };
    let height = 64.0 + row * all.len() as f64 + 22.0;
    let mut svg = Svg::new(width, height);
    svg.text((left, 18.0), Anchor::Start, "title", "Rounds until each attacker was in quarantine");
    let bottom = height - 42.0;
    let x = |delay: f64| left + 14.0 + delay / span * (never_x - 60.0 - left);
    for tick in ticks(0.0, span, 6).into_iter().filter(|t| t.fract() == 0.0) {
        svg.line((x(tick), 44.0), (x(tick), bottom), "grid");
        svg.text((x(tick), bottom + 16.0), Anchor::Middle, "tick", &format!("{tick}"));
    }
    svg.line((never_x, 44.0), (never_x, bottom), "grid");
    svg.text((never_x, bottom + 16.0), Anchor::Middle, "tick", "never");
    svg.text(
        (f64::midpoint(left, never_x), height - 8.0),
        Anchor::Middle,
        "label",
        "rounds since the attack began",
    );
    for (k, (seed, delays)) in all.iter().enumerate() {
        let y = 50.0 + row * (k as f64 + 0.5);
        svg.text((left - 8.0, y + 4.0), Anchor::End, "tick", &format!("seed {seed}"));
        let mut seen: Vec<Option<u64>> = Vec::new();
        for delay in delays {
            let before = seen.iter().filter(|other| *other == delay).count() as f64;
            let place = delay.map_or(never_x, |delay| x(delay as f64)) + before * 7.0;
            let class = if delay.is_some() { "dot caught" } else { "dot missed" };
            svg.circle((place, y), 4.0, class);
            seen.push(*delay);
        }
    }
    svg.finish("Rounds from the start of the attack to each attacker's quarantine, by seed")
}

/// The members on a circle, attackers as triangles; a line joins two that the contract found moving
/// together, the thicker the more rounds.
pub(super) fn coordination(seed: &SeedResult) -> String {
    if seed.attacked.coordination.is_empty() {
        return String::new();
    }
    let mut members: Vec<&MemberTrack> = seed.attacked.members.iter().collect();
    members.sort_by_key(|member| (!member.hostile, member.member.clone()));
    let (width, height, radius) = (540.0, 400.0, 140.0);
    let centre = (width / 2.0, height / 2.0 + 12.0);
    let turn = std::f64::consts::TAU / members.len() as f64;
    let place = |k: usize, radius: f64| {
        let angle = turn * k as f64 - std::f64::consts::FRAC_PI_2;
        (centre.0 + radius * angle.cos(), centre.1 + radius * angle.sin())
    };
    let mut svg = Svg::new(width, height);
    svg.text((10.0, 18.0), Anchor::Start, "title", "Found moving together");
    let position = |name: &str| members.iter().position(|member| member.member == name);
    for edge in &seed.attacked.coordination {
        let ends = position(&edge.from).zip(position(&edge.to));
        let Some((from, to)) = ends else { continue };
        svg.edge(place(from, radius), place(to, radius), 1.0 + 5.0 * edge.strength.clamp(0.0, 1.0));
    }
    for (k, member) in members.iter().enumerate() {
        let (x, y) = place(k, radius);
        if member.hostile {
            let points = [(x, y - 8.0), (x + 7.5, y + 6.0), (x - 7.5, y + 6.0)];
            svg.polygon(&points, "node hostile");
        } else {
            svg.circle((x, y), 6.0, "node honest");
        }
        let (x, y) = place(k, radius + 16.0);
        let anchor = match x - centre.0 {
            right if right > 8.0 => Anchor::Start,
            left if left < -8.0 => Anchor::End,
            _ => Anchor::Middle,
        };
        let class = if member.hostile { "name hostile" } else { "name" };
        svg.text((x, y + 4.0), anchor, class, &shortened(&member.member));
    }
    svg.finish("Members on a circle, attackers as triangles, joined where they moved together")
}
