import TestTraits
import Testing

@testable import Simulation

@Suite("The model of what sectors may hold", .blocks)
struct SectorModelTests {
    private var model = SectorModel(sectorCount: 1)
    private let power = SectorModel.Crash(powerFailed: true, cacheWasLost: true)
    private let process = SectorModel.Crash(powerFailed: false, cacheWasLost: false)

    private mutating func write(_ number: UInt32, _ begin: UInt64, _ end: UInt64?, isDurable: Bool = false) {
        model.begin(0..<1, write: number, modification: number, at: begin, oldestRead: .max)
        if let end { model.end(0..<1, modification: number, at: end, isDone: true, isDurable: isDurable) }
    }

    private func found(after crash: SectorModel.Crash) -> [UInt32] {
        (0...9).filter { model.mayFind($0, sector: 0, after: crash) }
    }

    private func read(since start: UInt64) -> [UInt32] { (0...9).filter { model.mayRead($0, sector: 0, since: start) } }

    @Test("answered writes can be lost with the power, not with the process")
    mutating func answered() {
        write(1, 10, 11)
        write(2, 20, 21)
        write(3, 30, nil)
        #expect(found(after: power) == [0, 1, 2, 3])
        #expect(found(after: process) == [2, 3])
        #expect(found(after: SectorModel.Crash(powerFailed: false, cacheWasLost: true)) == [0, 1, 2, 3])
    }

    @Test("a flush makes durable what was answered before it was sent")
    mutating func flushed() {
        write(1, 10, 11)
        write(2, 20, 25)
        model.flushed(since: 22, at: 30)
        #expect(found(after: power) == [1, 2])
        model.flushed(since: 31, at: 32)
        #expect(found(after: power) == [2])
    }

    @Test("a write through the cache is durable when it is answered")
    mutating func writeThrough() {
        write(1, 10, 11, isDurable: true)
        write(2, 20, 21)
        #expect(found(after: power) == [1, 2])
    }

    @Test("overlapping writes have no order, not even when one of them is durable")
    mutating func overlapping() {
        model.begin(0..<1, write: 1, modification: 1, at: 10, oldestRead: .max)
        model.begin(0..<1, write: 2, modification: 2, at: 11, oldestRead: .max)
        model.end(0..<1, modification: 2, at: 12, isDone: true, isDurable: true)
        model.end(0..<1, modification: 1, at: 13, isDone: true, isDurable: false)
        #expect(found(after: power) == [1, 2])
        #expect(read(since: 20) == [1, 2])
    }

    @Test("a read sees what was there when it began, or anything later")
    mutating func reads() {
        write(1, 10, 11)
        write(2, 20, 21)
        write(3, 30, nil)
        #expect(read(since: 15) == [1, 2, 3])
        #expect(read(since: 25) == [2, 3])
    }

    @Test("a write that failed may have taken place, until another one is over")
    mutating func failed() {
        write(1, 10, 11)
        model.begin(0..<1, write: 2, modification: 2, at: 20, oldestRead: .max)
        model.end(0..<1, modification: 2, at: 21, isDone: false, isDurable: false)
        #expect(read(since: 25) == [1, 2])
        write(3, 30, 31)
        #expect(read(since: 35) == [3])
    }

    @Test("what the process left can still be lost with the power, until it is flushed")
    mutating func settled() {
        write(1, 10, 11)
        write(2, 20, 21)
        model.settle(0, write: 2, powerFailed: false, at: 30)
        #expect(read(since: 31) == [2])
        #expect(found(after: process) == [2])
        #expect(found(after: power) == [0, 1, 2])
        model.flushed(since: 40, at: 41)
        #expect(found(after: power) == [2])
    }

    @Test("what a loss of power left is all that there is")
    mutating func settledForGood() {
        write(1, 10, 11)
        model.settle(0, write: 0, powerFailed: true, at: 30)
        #expect(found(after: power) == [0])
    }

    @Test("what a flush has dropped stays uncertain through flushes that say good, until it is written again")
    mutating func dropped() {
        write(1, 10, 11, isDurable: true)
        write(2, 20, 21)
        model.noteDropped()
        #expect(found(after: process) == [1, 2])
        model.settle(0, write: 2, powerFailed: false, at: 30)
        model.flushed(since: 40, at: 41)
        #expect(found(after: process) == [1, 2])
        write(3, 50, 51)
        #expect(found(after: process) == [1, 2, 3])
        model.flushed(since: 60, at: 61)
        #expect(found(after: power) == [3])
    }
}
