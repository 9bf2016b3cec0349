import Platform
import TestTraits
import Testing

@testable import ParallelInterface

@Suite("The lives of targets", .blocks)
struct TargetTableTests {
    @Test("a target is built once, and returns as often as its driver likes")
    func returns() {
        let table = TargetTable()
        guard case .build(let turn) = table.create(3, isScan: false) else { return #expect(Bool(false)) }
        #expect(table.create(3, isScan: false) == .refuse(wasScanned: false))
        #expect(table.end(3, turn: turn, isUsable: true))
        for _ in 0..<3 {
            #expect(table.destroy(3) && table.refusesTasks(3))
            #expect(!table.destroy(3))
            guard case .accept(let turn) = table.create(3, isScan: false) else { return #expect(Bool(false)) }
            #expect(table.refusesTasks(3), "the driver has not said yes yet")
            #expect(table.create(3, isScan: false) == .refuse(wasScanned: false))
            #expect(table.end(3, turn: turn, isUsable: true) && !table.refusesTasks(3))
        }
    }

    @Test("one that is destroyed while it is created comes to its own end", arguments: [true, false])
    func destroyedEarly(isUsable: Bool) {
        let table = TargetTable()
        guard case .build(let turn) = table.create(0, isScan: false) else { return #expect(Bool(false)) }
        #expect(table.destroy(0) && table.refusesTasks(0))
        #expect(table.create(0, isScan: false) == .refuse(wasScanned: false))
        #expect(!table.end(0, turn: turn, isUsable: isUsable))
        #expect(table.state(of: 0) == (isUsable ? .destroyed : .absent))
    }

    @Test("one that is destroyed while it returns stays destroyed, whatever the driver says to the question before")
    func overtaken() {
        let table = TargetTable()
        guard case .build(let first) = table.create(0, isScan: false) else { return #expect(Bool(false)) }
        _ = table.end(0, turn: first, isUsable: true)
        _ = table.destroy(0)
        guard case .accept(let second) = table.create(0, isScan: false) else { return #expect(Bool(false)) }
        _ = table.destroy(0)
        guard case .accept(let third) = table.create(0, isScan: false) else { return #expect(Bool(false)) }
        #expect(!table.end(0, turn: second, isUsable: true) && table.refusesTasks(0))
        #expect(table.end(0, turn: third, isUsable: true) && !table.refusesTasks(0))
    }

    @Test("what a driver has created exists for the next one, and is asked for once")
    func restart() {
        let table = TargetTable()
        guard case .build(let one) = table.create(0, isScan: false),
            case .build(let two) = table.create(1, isScan: true)
        else { return #expect(Bool(false)) }
        _ = table.end(0, turn: one, isUsable: true)
        table.driverEnded()
        #expect(table.unannounced == [0])
        guard case .accept(let again) = table.create(0, isScan: false) else { return #expect(Bool(false)) }
        #expect(!table.refusesTasks(0), "its tasks go to the driver meanwhile")
        #expect(table.end(0, turn: again, isUsable: true) && table.unannounced.isEmpty)
        // The one that was being built still is.
        #expect(table.create(1, isScan: true) == .join)
        #expect(table.create(1, isScan: true) == .refuse(wasScanned: true))
        #expect(table.end(1, turn: two, isUsable: true))
    }

    @Test("whatever is called, in whatever order: legal moves only, and nothing is built over what was built")
    func anyOrder() {
        let seed = UInt64.random(in: 0...999_999)
        var random = SeededGenerator(seed: seed)
        let table = TargetTable()
        var wasBuilt = false
        var open: [(turn: UInt64, builds: Bool)] = []
        for step in 0..<20_000 {
            switch UInt8.random(in: 0...9, using: &random) {
            case 0...3:
                switch table.create(7, isScan: Bool.random(using: &random)) {
                case .build(let turn):
                    #expect(!wasBuilt && open.allSatisfy { !$0.builds }, "seed \(seed), step \(step)")
                    open.append((turn, true))
                case .accept(let turn):
                    #expect(wasBuilt, "seed \(seed), step \(step)")
                    open.append((turn, false))
                case .join, .refuse: break
                }
            case 4...6:
                guard let index = open.indices.randomElement(using: &random) else { continue }
                let (turn, builds) = open.remove(at: index)
                let isUsable = UInt8.random(in: 0...3, using: &random) > 0
                _ = table.end(7, turn: turn, isUsable: isUsable)
                if builds && isUsable { wasBuilt = true }
            case 7, 8: _ = table.destroy(7)
            default: table.driverEnded()
            }
            #expect(table.refusesTasks(7) == table.state(of: 7).refusesTasks, "seed \(seed), step \(step)")
        }
    }
}
