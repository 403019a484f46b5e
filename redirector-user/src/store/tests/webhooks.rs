//! How far webhooks have been told comes back as it was kept.

use super::*;
use crate::{feed::Own, store::drains::Word, webhook::Progress};

#[tokio::test]
async fn a_webhook_begins_with_what_comes_and_goes_on_where_it_was() {
    let fixture = fixture().await;
    let store = &fixture.store;
    store.add(&proposal("192.0.2.10", "drop")).await.unwrap();
    let mut progress = store.begin_webhook("billing").await.unwrap();
    assert_eq!(progress, Progress::from(1), "what was before is not told");
    progress.taken(5, now());
    progress.failed(String::from("500"), now(), 0);
    let lost = Own::WebhookLost {
        webhook: "billing",
        first: 2,
        last: 4,
        events: 3,
        why: "r",
    };
    let lost = lost.at(now(), None);
    store
        .save_webhook("billing", &progress, Some(lost))
        .await
        .unwrap();
    assert_eq!(*store.newest_event().borrow(), 2);
    let other = fixture.another().await;
    assert_eq!(other.begin_webhook("billing").await.unwrap(), progress);

    progress.gone(String::from("digest"));
    store
        .save_webhook("billing", &progress, None)
        .await
        .unwrap();
    assert_eq!(other.begin_webhook("billing").await.unwrap(), progress);
    progress.hurry();
    let word = Word {
        at: now(),
        by: String::from("alice"),
        reason: String::from("mended"),
    };
    store
        .retry_webhook("billing", &progress, &word)
        .await
        .unwrap();
    assert_eq!(other.begin_webhook("billing").await.unwrap(), progress);
    let trail = store.trail_of("webhook:billing").await.unwrap();
    let rows: Vec<_> = trail
        .iter()
        .map(|row| (row.kind.as_str(), row.actor.as_str()))
        .collect();
    assert_eq!(rows, [("webhook retried", "alice")]);

    // Under the same name, but after it was configured no more.
    store.begin_webhook("other").await.unwrap();
    store.forget_webhooks(&["other"]).await.unwrap();
    assert_eq!(
        store.begin_webhook("billing").await.unwrap(),
        Progress::from(2)
    );
    fixture.chain().await.unwrap();
}
