//! A controller that is killed again and again on its way, each time at another operation.

use super::*;

/// How far one run gets: which of the wishes it follows, whether many policies change at once, and where it ends.
type Run = (prop::sample::Index, bool, prop::sample::Index);

fn sources() -> Vec<IpAddr> {
    let sources = [
        "192.0.2.0",
        "192.0.2.1",
        "192.0.2.2",
        "192.0.2.3",
        "192.0.2.200",
        "198.51.100.1",
        "2001:db8:a::1",
        "2001:db8:a::2",
        "2001:db8::1",
    ];
    sources.map(|text| text.parse().unwrap()).into()
}

/// Plays runs that are cut short, and then one that is not; after each operation, nothing hangs, and every source meets
/// what it met at first or what somebody has wished for since.
#[track_caller]
fn play(actual: &EdgeState, wishes: &[EdgeState], runs: &[Run], last: &EdgeState) {
    let mut model = Model::of(actual);
    let mut asked = vec![actual];
    let whole = (last, false, usize::MAX);
    let runs = runs.iter().map(|(wish, at_once, cut)| {
        let cut = cut.index(CUT_MOST);
        (wish.get(wishes), *at_once, cut)
    });
    for (desired, at_once, cut) in runs.chain([whole]) {
        asked.push(desired);
        // What a controller that starts reads back, not what the one before it believed.
        let standing = model.state();
        let setting = Setting {
            at_once,
            held: standing.policies.len(),
            whole: true,
        };
        let ops = gathered(desired, &standing, setting);
        for op in ops.iter().take(cut) {
            model.apply(op);
            model.assert_nothing_hangs();
            for source in sources() {
                let now = decision(&model.policies, source);
                let known = asked
                    .iter()
                    .any(|state| decision(&state.policies, source) == now);
                assert!(
                    known,
                    "{source} meets {now:?} after {op:?}, and nobody has ever wished for that"
                );
            }
        }
    }
    assert_eq!(&model.state(), last);
    assert_eq!(reconcile(last, &model.state()), vec![]);
}

proptest! {
    #[test]
    fn killed_again_and_again_on_the_same_way_it_arrives(
        actual in states(), desired in states(),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>(), any::<prop::sample::Index>()), 0..6),
    ) {
        play(&actual, std::slice::from_ref(&desired), &cuts, &desired);
    }

    #[test]
    fn killed_again_and_again_while_people_change_their_minds_it_arrives(
        actual in states(), wishes in prop::collection::vec(states(), 1..4), last in states(),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>(), any::<prop::sample::Index>()), 0..6),
    ) {
        play(&actual, &wishes, &cuts, &last);
    }
}

/// Operations of a run that is cut short; between any two of these states there are rarely more.
const CUT_MOST: usize = 24;
