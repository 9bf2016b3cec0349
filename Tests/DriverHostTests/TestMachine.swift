import ArrayStore
import BlockStorage
import Diagnostics
import DriverHost
import EmulatedMachine
import Foundation
import HBAProfiles
import Members
import Platform
import SCSIControllerDriverKit
import TestSupport

/// A machine over a small array, whose driver is a program of the tests in a process of its own.
final class TestMachine {
    private let array: TemporaryArray
    var directory: String { array.directory }
    let log = DiagnosisLog { _ in }
    private(set) var machine: Machine!
    private var memory: UnsafeMutableRawBufferPointer!

    /// - Parameters:
    ///   - habit: what the driver does wrong; see `MisbehavingDriver`.
    ///   - isOnce: only the first process does.
    init(
        habit: String = "", isOnce: Bool = true, mode: DriverMode = .bundled,
        change: (inout MachineConfiguration) -> Void = { _ in }
    ) throws {
        array = try TemporaryArray(name: "test", byteCount: 32 << 20)
        var configuration = MachineConfiguration(
            directories: [array.directory], mode: mode, profile: try HBAProfile(nameOrPath: "default"), policy: .strict,
            engine: MemberEngineKind.detect(), log: log)
        var driver = DriverProgram(path: Self.driver)
        driver.properties = ["Habit": .string(habit)]
        if isOnce { driver.properties["Once"] = .number(1) }
        configuration.driver = driver
        configuration.kernelOptions.taskTimeoutMilliseconds = 500
        configuration.kernelOptions.recoveryGraceMilliseconds = 100
        configuration.kernelOptions.watchdogMilliseconds = 50
        change(&configuration)
        machine = try Machine(configuration)
        memory = machine.devices[0].arena.allocate(byteCount: 1 << 20)!
    }

    /// The program.
    static let driver = builtProgram("nbdext-test-driver")

    /// Writes a pattern of its own to each of some places, and reads all of them back.
    /// - Returns: how many requests failed or brought something else.
    func work(rounds: Int = 4) -> Int {
        let device = machine.devices[0]
        let pieces = 16
        let byteCount = 32 << 10
        var failed = 0
        for round in 0..<rounds {
            func requests(_ operation: BlockRequest.Operation) -> [BlockRequest] {
                (0..<pieces).map {
                    BlockRequest(
                        operation: operation, tag: 0, byteOffset: UInt64((round * pieces + $0) * byteCount),
                        byteCount: UInt32(byteCount), buffer: memory.baseAddress! + $0 * byteCount)
                }
            }
            func pattern(_ piece: Int) -> UInt8 { UInt8(truncatingIfNeeded: round * 31 + piece + 1) }
            for piece in 0..<pieces {
                memset(memory.baseAddress! + piece * byteCount, Int32(pattern(piece)), byteCount)
            }
            failed += BlockingClient.execute(requests(.write), on: device).count { $0 != .none }
            memset(memory.baseAddress!, 0, memory.count)
            failed += BlockingClient.execute(requests(.read), on: device).count { $0 != .none }
            for piece in 0..<pieces
            where !memory[piece * byteCount..<(piece + 1) * byteCount].allSatisfy({ $0 == pattern(piece) }) {
                failed += 1
            }
        }
        return failed
    }

    /// Whether a process has had a habit that only one has. False lets the next one have it; see
    /// `MisbehavingDriver.isFirst`.
    var hasHadHabit: Bool {
        get { habitPage.load(as: UInt8.self) != 0 }
        set { habitPage.storeBytes(of: newValue ? 1 : 0, as: UInt8.self) }
    }

    private var habitPage: UnsafeMutableRawPointer {
        let arena = machine.devices[0].arena
        return arena.base + arena.byteCount - 4096
    }

    /// Writes the same byte to the places that `readAll` reads, and leaves it in memory.
    /// - Returns: how many requests failed.
    func fill(_ byte: UInt8) -> Int {
        memset(memory.baseAddress!, Int32(byte), memory.count)
        return BlockingClient.execute(pieces(.write, at: 0), on: machine.devices[0]).count { $0 != .none }
    }

    /// Reads what was not written, into memory that is full of something.
    /// - Returns: how many requests failed, and how many of the others found that byte.
    func readAll(finding byte: UInt8) -> (failed: Int, foreign: Int) {
        memset(memory.baseAddress!, Int32(byte), memory.count)
        let requests = pieces(.read, at: 16 << 20)
        let outcomes = BlockingClient.execute(requests, on: machine.devices[0])
        let good = outcomes.indices.filter { outcomes[$0] == .none }
        let foreign = good.count { piece in
            memory[piece * Self.pieceByteCount..<(piece + 1) * Self.pieceByteCount].contains(byte)
        }
        return (outcomes.count - good.count, foreign)
    }

    private static let pieceByteCount = 32 << 10

    private func pieces(_ operation: BlockRequest.Operation, at byteOffset: Int) -> [BlockRequest] {
        (0..<16).map {
            BlockRequest(
                operation: operation, tag: 0, byteOffset: UInt64(byteOffset + $0 * Self.pieceByteCount),
                byteCount: UInt32(Self.pieceByteCount), buffer: memory.baseAddress! + $0 * Self.pieceByteCount)
        }
    }

    func stop() throws {
        machine.devices[0].arena.free(memory)
        try machine.stop()
    }

    /// The processes that this one has started and not waited for, by their state: "R", "S", "T", "Z".
    static func children() -> [(process: pid_t, state: String)] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return names.compactMap { pid_t($0) }.compactMap { process in
            guard let text = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8),
                text.contains("(nbdext-test-dri"), let end = text.lastIndex(of: ")")
            else { return nil }
            let fields = text[text.index(after: end)...].split(separator: " ")
            return pid_t(String(fields[1])) == getpid() ? (process, String(fields[0])) : nil
        }
    }
}
