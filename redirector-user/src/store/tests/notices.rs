//! The queue of notices: nothing twice, nothing left out, and nothing changes once it was tried.

use super::*;
use crate::{
    feed::Own,
    notice,
    policy::dial::FlagId,
    store::notices::{Due, Notice},
};

fn due(target: &str, kind: notice::Kind) -> Due {
    Due {
        prefix: target.parse().unwrap(),
        mail: String::from("a@customer.example"),
        step: notice::Step {
            kind,
            at: now(),
            flag: FlagId(1),
            before: String::from("none"),
            after: String::from("drop"),
        },
    }
}

async fn queue(store: &Store, through: u64, dues: &[Due]) {
    store
        .queue_notices(through, dues, Vec::new(), now(), now())
        .await
        .unwrap();
}

fn kinds(notice: &Notice) -> Vec<notice::Kind> {
    notice.steps.iter().map(|step| step.kind).collect()
}

#[tokio::test]
async fn steps_are_told_together_until_the_first_attempt() {
    use notice::Kind::{Flag, Lift, Raise};
    let fixture = fixture().await;
    let store = &fixture.store;
    let flag = store
        .add(&proposal("192.0.2.10", "drop"))
        .await
        .unwrap()
        .flag;
    assert_eq!(
        store.begin_notices().await.unwrap(),
        1,
        "what was before is not told"
    );
    queue(
        store,
        2,
        &[due("192.0.2.10/32", Flag), due("2001:db8:a::/64", Flag)],
    )
    .await;
    queue(store, 3, &[due("192.0.2.10/32", Raise)]).await;
    let first = store.next_notice().await.unwrap().unwrap();
    assert_eq!((first.id, kinds(&first)), (1, vec![Flag, Raise]));
    let tried = store.try_notice(1).await.unwrap().unwrap();
    assert_eq!((tried.attempts, tried.done), (1, None));
    store
        .notice_failed(1, "451 later", now() + SignedDuration::from_secs(5))
        .await
        .unwrap();
    queue(store, 4, &[due("192.0.2.10/32", Lift)]).await;
    let (sent, waiting) = store.last_notice(first.prefix).await.unwrap();
    let later = now() + SignedDuration::from_secs(5);
    assert_eq!((sent, waiting), (None, Some((1, later))));

    // No farewell: the other opens what a crash would have left.
    let other = fixture.another().await;
    assert_eq!(other.begin_notices().await.unwrap(), 4);
    let all = other.notices(10).await.unwrap();
    let told: Vec<_> = all
        .iter()
        .map(|it| (it.id, kinds(it), it.attempts))
        .collect();
    assert_eq!(
        told,
        [
            (3, vec![Lift], 0),
            (2, vec![Flag], 0),
            (1, vec![Flag, Raise], 1)
        ]
    );
    assert_eq!(all[2].error.as_deref(), Some("451 later"));
    assert_eq!(other.next_notice().await.unwrap().unwrap().id, 2);

    let item = Own::NoticeSent {
        notice: 1,
        kind: "flag",
        flag: flag.id,
    };
    store
        .notice_done(&tried, None, item.at(now(), Some(first.prefix)))
        .await
        .unwrap();
    assert_eq!(store.try_notice(1).await.unwrap(), None, "it is done");
    let (sent, waiting) = store.last_notice(first.prefix).await.unwrap();
    assert_eq!((sent, waiting), (Some(now()), Some((3, now()))));
    let item = Own::NoticeLost {
        notice: 2,
        kind: "flag",
        flag: flag.id,
        error: "550 nobody",
    };
    let second = all[1].clone();
    store
        .notice_done(&second, Some("550 nobody"), item.at(now(), None))
        .await
        .unwrap();
    let trail = store.trail_of("flag:1").await.unwrap();
    let rows: Vec<_> = trail.iter().map(|row| row.kind.as_str()).collect();
    assert_eq!(rows, ["flag added", "notice sent", "notice lost"]);

    // What is done is forgotten, what waits is not, and no number comes back.
    store
        .trim_notices(now() + SignedDuration::from_secs(1))
        .await
        .unwrap();
    let left: Vec<_> = store
        .notices(10)
        .await
        .unwrap()
        .iter()
        .map(|it| it.id)
        .collect();
    assert_eq!(left, [3]);
    queue(store, 5, &[due("192.0.2.11/32", Flag)]).await;
    assert_eq!(store.notices(1).await.unwrap()[0].id, 4);
    assert_eq!(store.begin_notices().await.unwrap(), 5);
    store.no_notices().await.unwrap();
    assert_eq!(
        store.begin_notices().await.unwrap(),
        3,
        "as many events as there are"
    );
    fixture.chain().await.unwrap();
}
