import Foundation
import TestTraits
import Testing

/// What a power cut leaves of data that went to the raw and to the buffered device, with the card's write cache on.
///
/// nbdcopy does not flush unless it is told to, so it is the dd of these experiments.
@Suite("Caches and power cuts", .blocks, .slow, .enabled(if: Shell.has("nbdcopy")))
struct CacheTruthTests {
    private static let byteCount = 1 << 20

    /// A server with both caches, and a file of sevens.
    private struct Experiment {
        let array: ServedArray
        let sevens: String
        let readBack: String

        init() throws {
            array = try ServedArray(level: 5, members: 3, options: ["--write-cache", "on", "--buffered"])
            sevens = array.directory.path + "/sevens"
            readBack = array.directory.path + "/readback"
            try Data(repeating: 7, count: byteCount).write(to: URL(fileURLWithPath: sevens))
            try array.start()
        }

        func uri(_ export: String) -> String { "nbd+unix:///\(export)?socket=\(array.socket)" }

        func write(_ export: String, flush: Bool = false) throws {
            let options = flush ? ["--flush"] : []
            #expect(try Shell.run("nbdcopy", options + [sevens, uri(export)]).status == 0)
        }

        /// The first and the last of the bytes that were written.
        func read(_ export: String) throws -> [UInt8] {
            #expect(try Shell.run("nbdcopy", [uri(export), readBack]).status == 0)
            let data = try Data(contentsOf: URL(fileURLWithPath: readBack))
            return [data[0], data[byteCount - 1]]
        }

        func powerCut() throws -> String {
            let result = try Shell.run(nbdext, ["power-cut", array.arrayPath])
            #expect(result.status == 0, "\(result.errors)")
            return result.output
        }
    }

    @Test("a write to the buffered device that was not flushed never reached the disk: zeros after the power cut")
    func bufferedWrite() throws {
        let experiment = try Experiment()
        try experiment.write("array.buffered")
        // The write can be read back, and yet the raw device has nothing of it.
        #expect(try experiment.read("array.buffered") == [7, 7])
        #expect(try experiment.read("array") == [0, 0])
        #expect(try experiment.powerCut().contains("\(Self.byteCount) bytes were lost in buffer caches"))
        #expect(try experiment.read("array.buffered") == [0, 0])
        #expect(experiment.array.stop() == 0)
    }

    @Test("a write to the raw device that was not flushed is in the card's cache: read back, and lost in the power cut")
    func rawWrite() throws {
        let experiment = try Experiment()
        try experiment.write("array")
        #expect(try experiment.read("array") == [7, 7])
        #expect(try experiment.powerCut().contains("\(Self.byteCount) in the card's write cache"))
        #expect(try experiment.read("array") == [0, 0])
        #expect(experiment.array.stop() == 0)
    }

    @Test("what was flushed survives, by either device", arguments: ["array", "array.buffered"])
    func flushedWrite(export: String) throws {
        let experiment = try Experiment()
        try experiment.write(export, flush: true)
        _ = try experiment.powerCut()
        #expect(try experiment.read("array") == [7, 7])
        #expect(experiment.array.stop() == 0)
    }

    @Test("an orderly stop loses nothing that was written to either device")
    func orderlyStop() throws {
        let experiment = try Experiment()
        try experiment.write("array.buffered")
        #expect(experiment.array.stop() == 0)
        try experiment.array.start()
        #expect(try experiment.read("array") == [7, 7])
        #expect(experiment.array.stop() == 0)
    }

    @Test("power-cut says what to do when nobody serves the array")
    func nobody() throws {
        let result = try Shell.run(nbdext, ["power-cut", "/nonexistent"])
        #expect(result.status != 0)
        #expect(result.errors.contains("no server listens on"))
    }
}
