import HBAProfiles
import StackModel
import Testing

let kibi: UInt64 = 1 << 10
let mebi: UInt64 = 1 << 20
let gibi: UInt64 = 1 << 30

/// A request against a shipped profile, and how it ends.
struct WorkedExample: Sendable, CustomTestStringConvertible {
    var profile: String
    var byteCount: UInt64
    var isWrite = true
    /// The sizes of the stages as runs.
    var stages: [(count: UInt64, byteCount: UInt64)]
    /// The fault that ends it after no byte; nil for success.
    var fault: String?

    var testDescription: String { "\(profile), \(byteCount) bytes" }

    func explanation() throws -> RequestExplanation {
        try RequestExplanation(
            profile: HBAProfile(nameOrPath: profile), byteOffset: 0, byteCount: byteCount, isWrite: isWrite)
    }
}

private let workedExamples = [
    WorkedExample(profile: "kext-512k", byteCount: 10 * mebi, stages: [(20, 524_288)]),
    WorkedExample(profile: "kext-512k", byteCount: 4 * gibi, stages: [(8192, 524_288)]),
    WorkedExample(profile: "dext-64k", byteCount: 64 * kibi, stages: [(1, 65536)]),
    WorkedExample(profile: "dext-64k", byteCount: 128 * kibi, stages: [(1, 131_072)], fault: "B32"),
    WorkedExample(profile: "dext-512k-incomplete", byteCount: 64 * kibi, stages: [(1, 65536)]),
    WorkedExample(profile: "dext-512k-incomplete", byteCount: 512 * kibi, stages: [(1, 524_288)]),
    WorkedExample(profile: "dext-512k-incomplete", byteCount: 768 * kibi, stages: [(1, 786_432)], fault: "B32"),
    // Of the two stages that break-up makes, the first is refused already.
    WorkedExample(profile: "dext-512k-incomplete", byteCount: 32 * mebi, stages: [(1, 33_553_920)], fault: "B32"),
    WorkedExample(profile: "dext-complete", byteCount: 2 * mebi, stages: [(1, 2_097_152)]),
    WorkedExample(profile: "dext-complete", byteCount: 8 * mebi, stages: [(1, 8_388_608)]),
    WorkedExample(profile: "dext-complete", byteCount: 10 * mebi, stages: [(1, 8_454_144), (1, 2_031_616)]),
    WorkedExample(profile: "dext-complete", byteCount: 16 * mebi, stages: [(1, 8_454_144), (1, 8_323_072)]),
    WorkedExample(profile: "dext-complete", byteCount: 32 * mebi, stages: [(3, 8_454_144), (1, 8_192_000)]),
    WorkedExample(profile: "dext-complete", byteCount: 64 * mebi, stages: [(7, 8_454_144), (1, 7_929_856)]),
    WorkedExample(profile: "dext-complete", byteCount: gibi, stages: [(127, 8_454_144), (1, 65536)]),
    WorkedExample(profile: "dext-complete", byteCount: 4 * gibi, stages: [(508, 8_454_144), (1, 262_144)]),
    WorkedExample(profile: "default", byteCount: gibi, isWrite: false, stages: [(128, 8_388_608)]),
]

@Suite("Worked examples")
struct WorkedExampleTests {
    @Test("stages and outcome", arguments: workedExamples)
    func example(_ example: WorkedExample) throws {
        let explanation = try example.explanation()
        let runs = explanation.stages.runs
        #expect(runs.map(\.count) == example.stages.map(\.count))
        #expect(runs.map(\.byteCount) == example.stages.map(\.byteCount))
        #expect(explanation.stages.stageCount == example.stages.map(\.count).reduce(0, +))
        #expect(explanation.outcome.kind == (example.fault == nil ? .success : .failure))
        #expect(explanation.outcome.fault == example.fault)
        #expect(explanation.outcome.errno == (example.fault == nil ? nil : "EIO"))
        #expect(explanation.outcome.byteCount == (example.fault == nil ? example.byteCount : 0))
        #expect(explanation.rawNodeOutcome == nil)
    }

    @Test("a KEXT's 10 MiB write is 20 WRITE(10) commands, cut by both of its limits")
    func kextWrite() throws {
        let explanation = try WorkedExample(profile: "kext-512k", byteCount: 10 * mebi, stages: []).explanation()
        let run = try #require(explanation.stages.runs.first)
        #expect(run.command == "WRITE(10)")
        #expect(run.firstCDB == "2a 00 00 00 00 00 00 04 00 00")
        #expect(run.lastCDB == "2a 00 00 00 4c 00 00 04 00 00")
        #expect(run.limits.map(\.keys) == [["IOMaximumBlockCountWrite"], ["IOMaximumByteCountWrite"]])
        #expect(explanation.text.contains("20 x WRITE(10) of 524288 bytes, 1024 blocks, LBA 0, 1024, 2048 ..."))
    }

    @Test("the driver does not see what maxTransferSize refuses")
    func refused() throws {
        let explanation = try WorkedExample(
            profile: "dext-512k-incomplete", byteCount: 768 * kibi, stages: []
        ).explanation()
        let gates = explanation.layers[3].gates
        #expect(gates.map(\.verdict) == [.refuses, .notReached])
        #expect(explanation.layers[4].statements == ["It sees nothing of this request: no call, no line in its log."])
        #expect(explanation.outcome.place == "IOUserSCSIParallelInterfaceController")
        #expect(explanation.outcome.ioReturn == "kIOReturnIOError")
        #expect(explanation.outcome.reason.contains("it would have to be 786432"))
        #expect(explanation.outcome.reason.contains("tried 5 times"))
        #expect(explanation.findings.map(\.fault) == ["B33", "B32"])
        let raise = try #require(explanation.outcome.fixes.first?.changes)
        #expect(raise.map(\.call) == ["UserGetDMASpecification"])
        #expect(raise.map(\.key) == ["maxTransferSize"])
        #expect(raise.map(\.old) == [524_288])
        #expect(raise.map(\.new) == [33_553_920])
    }

    @Test("every fix lets the request through", arguments: ["dext-64k", "dext-512k-incomplete"], [true, false])
    func fixes(profile name: String, hasMapper: Bool) throws {
        var profile = try HBAProfile(nameOrPath: name)
        profile.mapper = hasMapper
        let failed = try RequestExplanation(profile: profile, byteOffset: 0, byteCount: 40 * mebi, isWrite: true)
        #expect(failed.outcome.kind == .failure)
        #expect(!failed.outcome.fixes.isEmpty)
        for fix in failed.outcome.fixes {
            var fixed = profile
            for change in fix.changes { fixed.apply(change) }
            let explanation = try RequestExplanation(profile: fixed, byteOffset: 0, byteCount: 40 * mebi, isWrite: true)
            #expect(explanation.outcome.kind == .success, "\(fix)")
        }
    }

    @Test("4 GiB is explained at once", arguments: HBAProfile.shippedNames)
    func fast(profile: String) throws {
        let clock = ContinuousClock()
        let time = try clock.measure {
            let text = try WorkedExample(profile: profile, byteCount: 4 * gibi, stages: []).explanation().text
            #expect(text.split(separator: "\n").count < 80)
            #expect(text.split(separator: "\n").allSatisfy { $0.count <= 100 })
        }
        #expect(time < .seconds(5))
    }
}
