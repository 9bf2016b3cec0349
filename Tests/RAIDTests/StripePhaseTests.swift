import Testing

@testable import RAID

@Suite("An operation's phases")
struct StripePhaseTests {
    typealias Kind = StripeOperation.Kind
    typealias Phase = StripeOperation.Phase

    static let kinds: [Kind] = [
        .read, .write, .writeZeroes, .zeroStripes, .rebuild, .skipIfHole, .skipIfClean, .check, .repair,
    ]

    /// What operations do one after the other, when all goes well.
    static let lives: [(kinds: [Kind], phases: [Phase])] = [
        ([.read], [.reading, .ended]),
        ([.read], [.awaitingLock, .awaitingScratch, .reading, .computing, .ended]),
        ([.write, .writeZeroes], [.awaitingLock, .awaitingScratch, .reading, .protecting, .writing, .ended]),
        ([.write, .writeZeroes], [.reading, .writing, .reading, .protecting, .writing, .ended]),
        ([.zeroStripes], [.awaitingLock, .reading, .protecting, .writing, .ended]),
        ([.rebuild], [.awaitingScratch, .reading, .testing, .writing, .retiring, .ended]),
        ([.skipIfHole], [.awaitingLock, .reading, .testing, .retiring, .ended]),
        ([.skipIfClean], [.awaitingLock, .reading, .retiring, .ended]),
        ([.check], [.reading, .testing, .ended]),
        ([.repair], [.reading, .testing, .writing, .ended]),
    ]

    @Test("operations live as they are meant to")
    func lives() {
        for life in Self.lives {
            for kind in life.kinds {
                var operation = StripeOperation()
                operation.kind = kind
                for phase in life.phases + [.free] { operation.move(to: phase) }
                #expect(operation.phase == .free)
            }
        }
    }

    @Test("what meets a bad block heals it, and begins anew", arguments: [.read, .write, .repair] as [Kind])
    func healing(_ kind: Kind) {
        var operation = StripeOperation()
        operation.kind = kind
        let phases: [Phase] = [
            .reading, .awaitingLock, .awaitingScratch, .probing, .rewriting, .verifying, .probing, .probing, .reading,
        ]
        for phase in phases { operation.move(to: phase) }
        #expect(operation.phase == .reading)
    }

    @Test("a write that found no space is mended", arguments: [.write, .writeZeroes] as [Kind])
    func mending(_ kind: Kind) {
        var operation = StripeOperation()
        operation.kind = kind
        let phases: [Phase] = [.reading, .writing, .mending, .mending, .mendingParity, .mendingParity, .ended]
        for phase in phases { operation.move(to: phase) }
        #expect(operation.phase == .ended)
    }

    @Test("nothing leaves out what protects it")
    func order() {
        for kind in Self.kinds {
            for phase in Phase.allCases where phase != .free && phase != .reading {
                let isBefore: Set<Phase> = [.awaitingLock, .awaitingScratch]
                let begins = isBefore.contains(phase) || phase == .retiring || phase == .ended
                #expect(begins || !Phase.free.mayPrecede(phase, for: kind), "\(kind) begins in \(phase)")
            }
            for phase in Phase.allCases where phase != .ended {
                #expect(!phase.mayPrecede(.free, for: kind), "\(kind) is free after \(phase)")
            }
            for phase in Phase.allCases where phase != .protecting && phase != .reading && phase != .testing {
                #expect(!phase.mayPrecede(.writing, for: kind), "\(kind) writes after \(phase)")
            }
            for phase in Phase.allCases where phase != .rewriting {
                #expect(!phase.mayPrecede(.verifying, for: kind), "\(kind) verifies after \(phase)")
            }
            #expect(!Phase.ended.mayPrecede(.ended, for: kind), "\(kind) ends twice")
            #expect(!Phase.retiring.mayPrecede(.retiring, for: kind), "\(kind) retires twice")
        }
    }

    @Test("each kind comes to its phases, and to no others", arguments: kinds)
    func reach(_ kind: Kind) {
        var reached: Set<Phase> = [.free]
        while let next = Phase.allCases.first(where: { phase in
            !reached.contains(phase) && reached.contains { $0.mayPrecede(phase, for: kind) }
        }) { reached.insert(next) }
        #expect(reached == Set(Phase.allCases.filter { $0.exists(for: kind) }))
        for phase in reached where phase != .free && phase != .ended {
            let last: Phase = kind.isRecovery && phase != .retiring ? .retiring : .ended
            #expect(phase.mayPrecede(last, for: kind), "\(kind) cannot end from \(phase)")
        }
    }

    @Test("any other way traps")
    func traps() async {
        await #expect(processExitsWith: .failure) {
            var operation = StripeOperation()
            operation.move(to: .writing)
        }
        await #expect(processExitsWith: .failure) {
            var operation = StripeOperation()
            operation.kind = .rebuild
            operation.move(to: .reading)
            operation.move(to: .ended)
        }
    }
}
