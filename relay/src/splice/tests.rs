use std::future::Future;
use std::net::Ipv6Addr;

use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;

/// A customer and a destination with a joined session between them.
struct Ends {
    customer: TcpStream,
    destination: TcpStream,
    joined: JoinHandle<Report>,
}

const LIMITS: SpliceLimits = SpliceLimits {
    max_octets: 100_000_000,
    max_duration: Duration::from_secs(3600),
    idle: Duration::from_secs(600),
    sessions_per_customer: 1,
};

async fn pair(listen: &str) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(listen).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
    (near.unwrap(), far.unwrap().0)
}

async fn ends(kept: &'static [u8], limits: SpliceLimits) -> Ends {
    let (customer, ours) = pair("127.0.0.1:0").await;
    // The families may differ, and the octets do not care.
    let v6 = format!("[{}]:0", Ipv6Addr::LOCALHOST);
    let (theirs, destination) = pair(&v6).await;
    let joined = tokio::spawn(async move { join(ours, theirs, kept, &limits).await });
    Ends {
        customer,
        destination,
        joined,
    }
}

async fn bounded<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what)
        .await
        .expect("nothing happens")
}

/// Half of it is more than all the buffers on the way hold.
fn octets(count: usize) -> Vec<u8> {
    (0..251).cycle().take(count).collect()
}

#[tokio::test]
async fn both_directions_arrive_whole_and_a_half_close_is_carried_over() {
    let Ends {
        mut customer,
        mut destination,
        joined,
    } = ends(b"kept", LIMITS).await;
    let (up, down) = (octets(20_000_000), octets(10_000_000));
    let customers = async {
        let (mut reader, mut writer) = customer.split();
        let say = async {
            writer.write_all(&up).await.unwrap();
            writer.shutdown().await.unwrap();
        };
        let mut heard = Vec::new();
        let (_said, read) = tokio::join!(say, reader.read_to_end(&mut heard));
        read.unwrap();
        heard
    };
    let destinations = async {
        // The answer comes after the customer's end: its half alone was closed.
        let mut heard = Vec::new();
        destination.read_to_end(&mut heard).await.unwrap();
        destination.write_all(&down).await.unwrap();
        destination.shutdown().await.unwrap();
        heard
    };
    let (at_customer, at_destination) =
        bounded(async { tokio::join!(customers, destinations) }).await;
    assert!(at_destination == [b"kept", &up[..]].concat());
    assert!(at_customer == down);
    let report = bounded(joined).await.unwrap();
    assert!(matches!(report.end, End::Closed), "{report:?}");
    assert_eq!(report.octets_up, 20_000_004);
    assert_eq!(report.octets_down, 10_000_000);
}

#[tokio::test]
async fn a_reset_is_carried_over_both_ways() {
    for by_customer in [true, false] {
        let ends = ends(b"", LIMITS).await;
        let (leaver, mut stayer) = if by_customer {
            (ends.customer, ends.destination)
        } else {
            (ends.destination, ends.customer)
        };
        reset(&leaver);
        drop(leaver);
        let error = bounded(stayer.read_u8()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        let report = bounded(ends.joined).await.unwrap();
        let blamed = match report.end {
            End::CustomerLost(_) => true,
            End::DestinationLost(_) => false,
            other => panic!("{other:?}"),
        };
        assert_eq!(blamed, by_customer);
    }
}

#[tokio::test]
async fn who_leaves_without_hearing_the_last_word_has_closed() {
    let mut ends = ends(b"", LIMITS).await;
    ends.customer.write_all(b"QUIT\r\n").await.unwrap();
    // Closed, not half-closed: what comes now is answered with RST.
    drop(ends.customer);
    let mut heard = Vec::new();
    bounded(ends.destination.read_to_end(&mut heard))
        .await
        .unwrap();
    assert_eq!(heard, b"QUIT\r\n");
    while ends.destination.write_all(b"221 bye\r\n").await.is_ok() {
        tokio::task::yield_now().await;
    }
    let report = bounded(ends.joined).await.unwrap();
    assert!(matches!(report.end, End::Closed), "{report:?}");
}

#[tokio::test]
async fn too_many_octets_reset_both_sides() {
    let limits = SpliceLimits {
        max_octets: 1000,
        ..LIMITS
    };
    let mut ends = ends(b"kept", limits).await;
    ends.customer.write_all(&octets(900)).await.unwrap();
    let mut heard = vec![0; 904];
    bounded(ends.destination.read_exact(&mut heard))
        .await
        .unwrap();
    ends.destination.write_all(&octets(97)).await.unwrap();
    for side in [&mut ends.customer, &mut ends.destination] {
        let error = bounded(side.read_u8()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
    let report = bounded(ends.joined).await.unwrap();
    assert!(matches!(report.end, End::TooManyOctets), "{report:?}");
    assert!(report.end.is_limit());
}

/// On tokio's own clock, which stands still but for sleepers; no socket has anything to say meanwhile.
#[tokio::test(start_paused = true)]
async fn silence_and_length_are_bounded() {
    for (max_duration, expected) in [(3600, "idle"), (599, "max_duration")] {
        let limits = SpliceLimits {
            max_duration: Duration::from_secs(max_duration),
            ..LIMITS
        };
        let (_customer, ours) = pair("127.0.0.1:0").await;
        let (theirs, _destination) = pair("127.0.0.1:0").await;
        let report = join(ours, theirs, b"", &limits).await;
        assert_eq!(report.end.name(), expected);
        assert_eq!(report.elapsed.as_secs(), max_duration.min(600));
    }
}
