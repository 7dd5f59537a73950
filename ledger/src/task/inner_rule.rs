//! The rule inside a pre-aggregated one: not another pre-aggregated one, so that bytes cannot nest
//! deeper than the decoder's stack.

use minicbor::decode::Error;
use minicbor::encode::{self, Write};
use minicbor::{Decode, Decoder, Encode, Encoder};

use super::AggregationRule;

/// Index of the variant that holds a rule.
const PRE_AGGREGATED: u32 = 8;

pub(super) fn encode<Ctx, W: Write>(
    rule: &AggregationRule,
    encoder: &mut Encoder<W>,
    context: &mut Ctx,
) -> Result<(), encode::Error<W::Error>> {
    rule.encode(encoder, context)
}

pub(super) fn decode<Ctx>(
    decoder: &mut Decoder<'_>,
    context: &mut Ctx,
) -> Result<Box<AggregationRule>, Error> {
    let mut ahead = decoder.probe();
    ahead.array()?;
    if ahead.u32()? == PRE_AGGREGATED {
        return Err(Error::message("a pre-aggregated rule holds another pre-aggregated rule"));
    }
    AggregationRule::decode(decoder, context).map(Box::new)
}

#[cfg(test)]
mod tests {
    use crate::codec::{from_canonical, to_canonical};
    use crate::task::{AggregationRule, PreAggregation};

    fn around(rule: AggregationRule) -> AggregationRule {
        let stages = vec![PreAggregation::AdaptiveClipping, PreAggregation::Bucketing { size: 2 }];
        AggregationRule::PreAggregated { stages, rule: Box::new(rule) }
    }

    #[test]
    fn a_rule_inside_a_rule_round_trips() {
        for rule in [AggregationRule::Median, AggregationRule::Krum { neighbours: Some(3) }] {
            let bytes = to_canonical(&around(rule.clone()));
            assert_eq!(from_canonical("rule", &bytes, 1_000), Ok(around(rule)));
        }
    }

    /// As the vectors have them, from before there were pre-aggregated rules.
    #[test]
    fn the_bytes_of_earlier_rules_stay_as_they_were() {
        assert_eq!(to_canonical(&AggregationRule::Mean), [0x82, 0x00, 0x80]);
        let clipping = AggregationRule::CenteredClipping { iterations: 1, radius_milli: 2 };
        assert_eq!(to_canonical(&clipping), [0x82, 0x07, 0x82, 0x01, 0x02]);
    }

    /// A hundred thousand rules inside each other would be as many frames of the decoder.
    #[test]
    fn a_pre_aggregated_rule_inside_another_is_refused() {
        let twice = to_canonical(&around(around(AggregationRule::Mean)));
        let refused = from_canonical::<AggregationRule>("rule", &twice, 1_000).unwrap_err();
        assert!(refused.to_string().contains("holds another"), "{refused}");
        let mut deep = Vec::new();
        for _ in 0..100_000 {
            deep.extend([0x82, 0x08, 0x82, 0x80]);
        }
        deep.extend([0x82, 0x00, 0x80]);
        assert!(from_canonical::<AggregationRule>("rule", &deep, 1_000_000).is_err());
    }
}
