use super::*;
use crate::classifier::Label;

fn model() -> Model {
    let mut ftrl = Ftrl::default();
    for round in 0..100 {
        for (label, bucket) in [(Label::Spam, 7), (Label::Ham, 200_000)] {
            let features = Features {
                said: vec![bucket, 3 + round],
                ..Features::default()
            };
            ftrl.learn(&features, label);
        }
    }
    let calibration = Calibration {
        slope: 1.5,
        offset: -0.5,
    };
    let provenance = Provenance {
        corpus: "a test".into(),
        trained_at: "2026-11-22T12:00:00Z".into(),
        ham: 100,
        spam: 100,
        advisory: true,
    };
    let measured = Measured {
        auc: 0.99,
        ham: 10,
        false_positives: 1,
        spam: 12,
        found: 11,
    };
    Model::new(&ftrl, calibration, 3.25, provenance, measured)
}

#[test]
fn a_model_comes_back_from_its_file() {
    let model = model();
    assert!(model.weights() > 1);
    assert_eq!(Model::decode(&model.encode()).unwrap(), model);
}

#[test]
fn a_file_with_any_octet_changed_or_missing_is_refused() {
    let file = model().encode();
    for at in 0..file.len() {
        let mut changed = file.clone();
        changed[at] ^= 0x40;
        assert!(Model::decode(&changed).is_err(), "octet {at}");
        assert!(Model::decode(&file[..at]).is_err(), "{at} octets");
    }
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_what_to_do() {
    let mut other_version = model().encode();
    other_version[4] = 9;
    let mut damaged = model().encode();
    damaged[20] ^= 1;
    for (file, expected) in [
        (
            &b"From: a@b.example\r\n"[..],
            "is not a model of the classifier; make one with",
        ),
        (
            &other_version,
            "has version 9, this program reads 1; make it anew with",
        ),
        (&damaged, "is damaged; copy it again, or make it anew with"),
    ] {
        let said = Model::decode(file).unwrap_err().to_string();
        assert!(said.starts_with(expected), "{said}");
    }
}

#[test]
fn more_weight_is_never_less_odds() {
    let calibration = model().calibration();
    let odds: Vec<f64> = (-100..100)
        .map(|score| calibration.log_odds(f64::from(score) / 4.0))
        .collect();
    assert!(odds.is_sorted(), "{odds:?}");
}

#[test]
fn the_shipped_model_is_small_and_says_where_it_comes_from() {
    let shipped = Model::shipped();
    assert!(SHIPPED.len() < 300 << 10, "{} octets", SHIPPED.len());
    assert!(shipped.provenance().corpus.contains("SpamAssassin"));
    assert!(shipped.measured().auc > 0.98 && shipped.weights() > 1000);
    assert_eq!(shipped.encode(), SHIPPED);
}
