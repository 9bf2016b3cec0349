import BlockStorage
import Foundation
import HBAProfiles
import Platform
import StackModel
import Testing

@Suite("Request explanation")
struct RequestExplanationTests {
    private func profile(_ name: String = "dext-complete", _ change: (inout HBAProfile) -> Void) throws -> HBAProfile {
        var profile = try HBAProfile(nameOrPath: name)
        change(&profile)
        return profile
    }

    private func explain(
        _ profile: HBAProfile, _ byteCount: UInt64, at offset: UInt64 = 0, isWrite: Bool = true
    ) throws -> RequestExplanation {
        try RequestExplanation(profile: profile, byteOffset: offset, byteCount: byteCount, isWrite: isWrite)
    }

    // MARK: Limits

    @Test("an alignment above a page makes stages of pages, and the text says that it is not about stripes")
    func stripes() throws {
        let explanation = try explain(
            profile { $0.constraints["IOMinimumSegmentAlignmentByteCount"] = 65536 }, 16 * mebi)
        #expect(explanation.stages.runs.map(\.count) == [7, 1])
        #expect(explanation.stages.runs.map(\.byteCount) == [129 * 16384, 1_982_464])
        #expect(
            explanation.stages.runs[0].limits.map(\.keys) == [
                ["IOMaximumSegmentCountWrite", "IOMinimumSegmentAlignmentByteCount"]
            ])
        #expect(explanation.findings.map(\.fault) == ["B36"])
        let words = explanation.text.split { $0 == " " || $0 == "\n" }.joined(separator: " ")
        #expect(words.contains("does not align anything to stripes"))
        #expect(words.contains("129 x 16384 = 2113536 bytes"))
        #expect(!(try explain(profile { _ in }, 16 * mebi)).text.contains("stripes"))
    }

    @Test("without a mapper a DEXT with one segment gets pages, and one with more gets nothing")
    func noMapper() throws {
        let single = try profile {
            $0.mapper = false
            $0.constraints["IOMaximumSegmentCountWrite"] = 1
        }
        let explanation = try explain(single, 256 * kibi)
        #expect(explanation.stages.runs.map(\.count) == [16])
        #expect(explanation.stages.runs.map(\.byteCount) == [16384])
        #expect(explanation.outcome.kind == .success)

        let several = try explain(profile { $0.mapper = false }, 4 * mebi)
        #expect(several.stages.runs.map(\.byteCount) == [2_113_536])
        #expect(several.outcome.fault == "B37")
        #expect(several.outcome.errno == "EIO")
        #expect(several.layers[3].gates.map(\.verdict) == [.passes, .refuses])
        #expect(several.outcome.reason.contains("129 segments"))

        let kext = try explain(profile("kext-512k") { $0.mapper = false }, 4 * mebi)
        #expect(kext.outcome.kind == .success)
    }

    @Test("a later stage may be the one that fails")
    func laterStage() throws {
        // Stages of two segments of 1536 bytes: the second begins inside a page of 4096, and reaches into the next.
        let explanation = try explain(
            profile {
                $0.mapper = false
                $0.pageSize = 4096
                $0.constraints["IOMaximumSegmentCountWrite"] = 2
                $0.constraints["IOMaximumSegmentByteCountWrite"] = 1536
            }, 16 * kibi)
        #expect(explanation.stages.runs.map(\.byteCount) == [3072, 2560])
        #expect(explanation.outcome.fault == "B37")
        #expect(explanation.outcome.byteCount == 3072)
        #expect(explanation.layers[3].gates.map(\.verdict) == [.passes, .refuses])
        #expect(explanation.layers[4].statements[0].hasPrefix("It gets 1 task "))
    }

    @Test("a first stage without a block ends the request")
    func emptyStage() throws {
        let explanation = try explain(
            profile {
                $0.constraints["IOMaximumSegmentCountWrite"] = 1
                $0.constraints["IOMaximumSegmentByteCountWrite"] = 500
            }, 4096)
        #expect(explanation.stages.stageCount == 0)
        #expect(explanation.outcome.fault == "B31")
        #expect(explanation.outcome.ioReturn == "kIOReturnDMAError")
        #expect(explanation.outcome.place == "IOBlockStorageDriver")
        #expect(explanation.layers[3].gates.map(\.verdict) == [.notReached, .notReached])
        #expect(!explanation.outcome.fixes.isEmpty)
    }

    @Test("a limit that a DEXT cannot set has no effect, and is named")
    func ignoredLimit() throws {
        let explanation = try explain(
            profile("dext-64k") { $0.constraints["IOMaximumByteCountWrite"] = 524_288 }, 128 * kibi)
        #expect(explanation.outcome.fault == "B32")
        #expect(explanation.findings.map(\.fault).contains("B35"))
        let row = try #require(explanation.layers[1].limits.first { $0.key == "IOMaximumByteCountWrite" })
        #expect(row.value == nil)
        #expect(row.note.contains("524288 is ignored"))
    }

    @Test("a driver that macOS does not start has no disk")
    func noDisk() throws {
        let explanation = try explain(profile { $0.constraints["HBA Data Alignment"] = nil }, 4096)
        #expect(explanation.outcome.kind == .noDisk)
        #expect(explanation.outcome.fault == "B33")
        #expect(explanation.layers[0].statements[0].hasPrefix("There is no such disk"))
        #expect(!explanation.text.contains("--constraints macos"))
        #expect(try explain(profile("dext-64k") { _ in }, 4096).text.contains("--constraints macos"))
    }

    @Test("the first block alone chooses the length of a command")
    func commandLength() throws {
        let boundary = UInt64(1) << 32 * 512
        let explanation = try explain(profile("kext-512k") { _ in }, 2 * mebi, at: boundary - mebi)
        #expect(explanation.stages.runs.map(\.command) == ["WRITE(10)", "WRITE(16)"])
        #expect(explanation.stages.runs.map(\.count) == [2, 2])
        #expect(explanation.stages.runs[1].firstCDB == "8a 00 00 00 00 01 00 00 00 00 00 00 04 00 00 00")
        let shared = try explain(profile("default") { _ in }, 32 * mebi, at: boundary - 16 * mebi)
        #expect(shared.stages.runs.map(\.command) == ["WRITE(10)", "WRITE(16)"])
        #expect(shared.stages.runs.map(\.count) == [2, 2])
        let across = try explain(profile { _ in }, 4 * mebi, at: boundary - mebi)
        #expect(across.stages.runs.map(\.command) == ["WRITE(10)"])
    }

    @Test("the stages are those of the break-up rule", arguments: 1...60)
    func sameAsRule(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        func pick(_ values: UInt64...) -> UInt64 { values[random.below(values.count)] }
        let profile = try profile("kext-512k") {
            $0.dma.maxTransferSize = .max
            $0.mapper = pick(0, 1, 1) == 1
            $0.constraints = [
                "IOMaximumBlockCountRead": pick(0, 7, 1024, 65535),
                "IOMaximumByteCountRead": pick(0, 65536, 524_288),
                "IOMaximumSegmentCountRead": pick(0, 1, 17, 129),
                "IOMaximumSegmentByteCountRead": pick(0, 1000, 4096, 65536),
                "IOMinimumSegmentAlignmentByteCount": pick(0, 4, 1024, 65536),
                "IOMaximumSegmentAddressableBitCount": pick(0, 32, 33, 64),
            ]
        }
        let byteCount = pick(512, 40_960, 10 * mebi, 7 * mebi + 512)
        let explanation = try explain(profile, byteCount, isWrite: false)
        let limits = BreakUpLimits(
            profile.hbaConstraints, isWrite: false, blockByteCount: 512, hasMapper: profile.mapper)
        var sizes: [UInt64] = []
        var done: UInt64 = 0
        while done < byteCount {
            let run = BreakUpLimits.Run(address: 1 << 32 + 16384 + done, byteCount: byteCount - done)
            sizes.append(limits.stageByteCount(ofMemory: run))
            done += sizes.last!
        }
        #expect(explanation.stages.stageCount == UInt64(sizes.count))
        guard explanation.stages.unlistedStageCount == 0 else { return }
        let listed = explanation.stages.runs.flatMap { Array(repeating: $0.byteCount, count: Int($0.count)) }
        #expect(listed == sizes)
        for run in explanation.stages.runs.dropLast() { #expect(!run.limits.isEmpty) }
    }

    // MARK: Unaligned requests

    @Test("an unaligned request is refused by a raw node, and deblocked by the export")
    func deblocking() throws {
        let write = try explain(profile { _ in }, 1000, at: 700)
        #expect(write.rawNodeOutcome?.errno == "EINVAL")
        #expect(write.rawNodeOutcome?.byteCount == 0)
        #expect(write.outcome.kind == .success)
        #expect(write.outcome.byteCount == 1000)
        #expect(write.stages.runs.map(\.purpose) == [.readFirst, .readLast, .writeSpan])
        #expect(write.stages.runs.map(\.lba) == [1, 3, 1])
        #expect(write.stages.runs.map(\.blockCount) == [1, 1, 3])
        #expect(write.stages.runs.map(\.command) == ["READ(10)", "READ(10)", "WRITE(10)"])

        let inOneBlock = try explain(profile { _ in }, 100, at: 700)
        #expect(inOneBlock.stages.runs.map(\.purpose) == [.readFirst, .writeSpan])
        let tailOnly = try explain(profile { _ in }, 700)
        #expect(tailOnly.stages.runs.map(\.purpose) == [.readLast, .writeSpan])

        let read = try explain(profile { _ in }, 400 * kibi, at: 100, isWrite: false)
        #expect(read.stages.runs.map(\.purpose) == [.readSpan, .readSpan])
        #expect(read.stages.runs.map(\.count) == [3, 1])
        #expect(read.stages.runs.map(\.byteCount) == [131_072, 16896])
        #expect(read.stages.runs.map(\.lba) == [0, 768])
    }

    @Test("deblocking of a large write reads its two edges only")
    func largeDeblocking() throws {
        let write = try explain(profile { _ in }, 4 * gibi - 2, at: 1)
        #expect(write.stages.runs.map(\.purpose) == [.readFirst, .writeSpan, .readLast, .writeSpan])
        #expect(write.stages.runs.map(\.count) == [1, 32767, 1, 1])
        #expect(write.outcome.byteCount == 4 * gibi - 2)
    }

    // MARK: Output and errors

    @Test("JSON says the same", arguments: HBAProfile.shippedNames)
    func json(name: String) throws {
        for (byteCount, offset) in [(768 * kibi, 0), (10 * mebi, 4096), (1000, 700)] as [(UInt64, UInt64)] {
            let explanation = try explain(profile(name) { _ in }, byteCount, at: offset)
            let data = try JSONEncoder().encode(explanation)
            let decoded = try JSONDecoder().decode(RequestExplanation.self, from: data)
            #expect(decoded == explanation)
            #expect(decoded.text == explanation.text)
            let object = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
            let request = try #require(object["request"] as? [String: Any])
            #expect(request["byteCount"] as? UInt64 == byteCount)
        }
    }

    @Test("what cannot be explained is refused, with what to ask instead")
    func errors() throws {
        let profile = try profile { _ in }
        func message(_ byteCount: UInt64, at offset: UInt64 = 0) -> String {
            do {
                _ = try explain(profile, byteCount, at: offset)
                return "no error"
            } catch { return "\(error)" }
        }
        #expect(message(0).contains("give a size from 1 byte"))
        #expect(message(4 * gibi + 1).contains("up to 4G"))
        #expect(message(512, at: .max).contains("give an offset below"))
        #expect(message(4 * gibi) == "no error")
    }
}
