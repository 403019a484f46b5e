//! The programs of a relay's host in the kernel, on maps of their own: they must give what the host core gives.

use std::collections::{BTreeMap, HashMap as StdHashMap};

use aya::{
    Ebpf, EbpfLoader,
    maps::{HashMap, MapData, PerCpuArray},
    programs::{SchedClassifier, TestRun as _, TestRunOptions, Xdp},
};
use redirector_common::{
    abi::host::{EDGES, HOST_COUNTERS, HostCounter, HostCustomer, HostEdge, NOTED, OWN},
    cases::hex,
    maglev::mix,
    tunnel::{
        cases::{self, Case, Fate, Outcome, Side},
        host::{Arrival, Departure},
        memory::HostMemory,
    },
};
use redirector_user::tunnel;

use super::{kernel::take, verifier};

/// A program and where it sits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seat {
    InXdp,
    InTc,
    OutTc,
}

impl Seat {
    const ALL: [Self; 3] = [Self::InXdp, Self::InTc, Self::OutTc];

    const fn program(self) -> &'static str {
        match self {
            Self::InXdp => "tunnel_in_xdp",
            Self::InTc => "tunnel_in_tc",
            Self::OutTc => "tunnel_out_tc",
        }
    }

    /// Whether a test can run the case here.
    fn takes(self, case: &Case) -> bool {
        let side = match self {
            Self::InXdp | Self::InTc => Side::Ingress,
            Self::OutTc => Side::Egress,
        };
        side == case.fate.side() && (self == Self::InXdp || has_whole_header(&case.frame))
    }

    /// What becomes of a frame, as the kernel numbers it.
    const fn code(self, fate: Fate) -> u32 {
        match (self, fate) {
            // XDP_DROP, XDP_PASS.
            (Self::InXdp, Fate::Arrival(Arrival::Dropped)) => 1,
            (Self::InXdp, _) => 2,
            // TC_ACT_SHOT, TC_ACT_REDIRECT, TC_ACT_UNSPEC.
            (_, Fate::Arrival(Arrival::Dropped) | Fate::Departure(Departure::Dropped)) => 2,
            (_, Fate::Arrival(Arrival::Inner { other_family: true })) => 7,
            (_, Fate::Departure(Departure::Wrapped)) => 7,
            (_, _) => u32::MAX,
        }
    }
}

/// The kernel makes no `skb` of a frame whose IP header is not whole (Linux 6.18; older ones did).
fn has_whole_header(frame: &[u8]) -> bool {
    let header_octets = match frame[12..14] {
        [0x08, 0x00] => 20,
        [0x86, 0xdd] => 40,
        _ => 0,
    };
    frame.len() >= 14 + header_octets
}

/// One load of one program.
struct Kernel {
    ebpf: Ebpf,
    seat: Seat,
    edges: HashMap<MapData, [u8; 16], [u8; HostEdge::SIZE]>,
    noted: HashMap<MapData, [u8; HostCustomer::SIZE], [u8; 16]>,
    own: HashMap<MapData, [u8; 16], u32>,
    counters: PerCpuArray<MapData, u64>,
}

impl Kernel {
    fn load(seat: Seat) -> Self {
        let mut ebpf = EbpfLoader::new()
            .load(tunnel::PROGRAM)
            .expect("the object is well-formed, and we are privileged");
        let program = ebpf.program_mut(seat.program()).unwrap();
        let loaded = match seat {
            Seat::InXdp => <&mut Xdp>::try_from(program).unwrap().load(),
            Seat::InTc | Seat::OutTc => <&mut SchedClassifier>::try_from(program).unwrap().load(),
        };
        loaded.unwrap_or_else(|error| panic!("{seat:?}: the verifier refuses: {error:?}"));
        Self {
            edges: take(&mut ebpf, EDGES),
            noted: take(&mut ebpf, NOTED),
            own: take(&mut ebpf, OWN),
            counters: take(&mut ebpf, HOST_COUNTERS),
            ebpf,
            seat,
        }
    }

    /// Instructions that the verifier looked at; `None` = the kernel does not say (before Linux 5.16).
    fn verified_instructions(&self) -> Option<u32> {
        let program = self.ebpf.program(self.seat.program()).unwrap();
        let info = match self.seat {
            Seat::InXdp => <&Xdp>::try_from(program).unwrap().info(),
            Seat::InTc | Seat::OutTc => <&SchedClassifier>::try_from(program).unwrap().info(),
        };
        info.unwrap().verified_instruction_count()
    }

    /// Makes the maps those of a case.
    fn fill(&mut self, tables: &HostMemory) {
        empty(&mut self.edges);
        empty(&mut self.noted);
        empty(&mut self.own);
        for (address, edge) in &tables.edges {
            self.edges.insert(address, edge.to_octets(), 0).unwrap();
        }
        for (customer, edge) in &tables.noted {
            self.noted.insert(customer.to_octets(), edge, 0).unwrap();
        }
        for address in &tables.own {
            self.own.insert(address, 1, 0).unwrap();
        }
    }

    /// Runs a frame: what the kernel says, the frame afterwards, and what was counted and noted.
    fn run(&mut self, frame: &[u8]) -> Ran {
        let before = self.counts();
        let mut out = vec![0; 4096];
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut out),
            ..TestRunOptions::default()
        };
        let program = self.ebpf.program(self.seat.program()).unwrap();
        let result = match self.seat {
            Seat::InXdp => <&Xdp>::try_from(program).unwrap().test_run(options),
            Seat::InTc | Seat::OutTc => <&SchedClassifier>::try_from(program)
                .unwrap()
                .test_run(options),
        };
        let result = result.expect("the kernel runs the program");
        out.truncate(usize::try_from(result.data_size_out).unwrap());
        let noted = self.noted.iter().map(|entry| entry.unwrap());
        let raised = self.counts().into_iter();
        let raised = raised.map(|(counter, value)| (counter, value - before[&counter]));
        Ran {
            code: result.return_value,
            frame: out,
            counters: raised.filter(|(_, value)| *value != 0).collect(),
            noted: noted
                .map(|(customer, edge)| (HostCustomer::from_octets(&customer), edge))
                .collect(),
        }
    }

    fn counts(&self) -> BTreeMap<HostCounter, u64> {
        let sum =
            |counter: &HostCounter| self.counters.get(&counter.index(), 0).unwrap().iter().sum();
        let all = HostCounter::ALL.iter();
        all.map(|counter| (*counter, sum(counter))).collect()
    }
}

/// What came of a frame in the kernel.
struct Ran {
    code: u32,
    frame: Vec<u8>,
    counters: BTreeMap<HostCounter, u64>,
    noted: StdHashMap<HostCustomer, [u8; 16]>,
}

fn empty<K: aya::Pod, V: aya::Pod>(map: &mut HashMap<MapData, K, V>) {
    let keys: Vec<_> = map.keys().collect();
    for key in keys {
        map.remove(&key.unwrap()).unwrap();
    }
}

#[track_caller]
fn compare(seat: Seat, name: &str, host: &Outcome, ran: &Ran) {
    let name = format!("{seat:?}, {name}");
    assert_eq!(ran.code, seat.code(host.fate), "{name}: verdict");
    if host.fate.leaves_a_frame() {
        assert_eq!(hex(&ran.frame), hex(&host.frame), "{name}: frame");
    }
    assert_eq!(ran.counters, host.tables.counters, "{name}: counters");
    assert_eq!(ran.noted, host.tables.noted, "{name}: noted");
}

#[test]
fn the_kernel_ends_tunnels_as_the_host_does() {
    let cases = cases::all();
    for seat in Seat::ALL {
        let mut kernel = Kernel::load(seat);
        let mut run = 0;
        for case in cases.iter().filter(|case| seat.takes(case)) {
            kernel.fill(&case.tables);
            let ran = kernel.run(&case.frame);
            let outcome = case.run();
            case.check(&outcome);
            compare(seat, &case.name, &outcome, &ran);
            run += 1;
        }
        assert!(run > 0, "{seat:?} has cases");
    }
}

#[test]
fn the_kernel_takes_damaged_tunnels_as_the_host_does() {
    let cases = cases::all();
    for seat in Seat::ALL {
        let mut kernel = Kernel::load(seat);
        let of_seat: Vec<&Case> = cases.iter().filter(|case| seat.takes(case)).collect();
        for seed in 0..DAMAGED_FRAMES {
            let mut case = of_seat[super::pick(mix(seed), of_seat.len())].clone();
            super::damage(&mut case.frame, seed);
            if seat != Seat::InXdp && !has_whole_header(&case.frame) {
                // The shortest that it takes.
                case.frame.resize(14 + 40, 0);
            }
            kernel.fill(&case.tables);
            let ran = kernel.run(&case.frame);
            let name = format!("{}, damaged by {seed}: {}", case.name, hex(&case.frame));
            compare(seat, &name, &case.run(), &ran);
        }
    }
}

#[test]
fn the_verifier_follows_little_more_than_before_in_tunnels() {
    let too_much: Vec<String> = Seat::ALL
        .into_iter()
        .filter_map(|seat| {
            let followed = Kernel::load(seat).verified_instructions();
            verifier::beyond(seat.program(), followed.unwrap_or_default())
        })
        .collect();
    assert!(too_much.is_empty(), "{}", too_much.join("; "));
}

/// For each program.
const DAMAGED_FRAMES: u64 = 2000;
