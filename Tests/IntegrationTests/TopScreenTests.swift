import Foundation
import Statistics
import TestTraits
import Testing

@testable import nbdext

/// `nbdext top` on a terminal.
@Suite("top on a terminal", .blocks, .slow)
struct TopScreenTests {
    /// What a server with one array of four members says under load.
    private var snapshot: StatisticsSnapshot {
        var snapshot = StatisticsSnapshot()
        snapshot.nanoseconds = 1_000_000_000
        var export = ExportSnapshot(name: "a")
        for kind in 0..<2 {
            export.kinds[kind].byteCount = 987_654_321
            export.kinds[kind].latency.counts[20] = 123_456
        }
        snapshot.exports = [export]
        var array = ArraySnapshot(name: "a", level: 5)
        array.writes = WriteSnapshot(fullStripe: 12_345, readModify: 0, reconstruct: 7)
        array.members = (0..<4).map { MemberSnapshot(role: $0) }
        snapshot.arrays = [array]
        return snapshot
    }

    @Test("the whole picture of an array of four members fits 60 columns and 20 rows")
    func small() {
        let lines = TopReport.lines(of: snapshot, columns: 60)
        #expect(lines.allSatisfy { $0.count <= 60 }, "\(lines)")
        #expect(TerminalPicture.fit(lines, columns: 60, rows: 20) == lines)
        #expect(TopReport.lines(of: snapshot).allSatisfy { $0.count <= 80 })
    }

    @Test("what does not fit is cut, and the last line says so")
    func cut() {
        let lines = ["a", "", "b", "", "c"]
        #expect(TerminalPicture.fit(lines, columns: 9, rows: 5) == lines)
        #expect(TerminalPicture.fit(lines, columns: 9, rows: 4) == ["a", "b", "c"])
        #expect(TerminalPicture.fit(lines, columns: 9, rows: 2) == ["a", "(2 more l"])
        #expect(TerminalPicture.fit(lines, columns: 9, rows: 1).count == 1)
        #expect(TerminalPicture.fit(["abcdef"], columns: 3, rows: 1) == ["abc"])
    }

    @Test("numbers that no server counts to are shown all the same")
    func extremes() {
        var snapshot = snapshot
        snapshot.nanoseconds = 0
        snapshot.exports[0].kinds[0].byteCount = .max
        snapshot.exports[0].kinds[0].latency.counts = Array(repeating: .max, count: LatencyBuckets.count)
        snapshot.bundles.callCounts[0] = .max
        snapshot.bundles.taskCount = .max
        snapshot.arrays[0].members[0].kinds[0].byteCount = .max
        #expect(!TopReport.text(of: snapshot).isEmpty)
    }

    /// A terminal of 60 columns and 20 rows that a program runs on.
    private struct Terminal {
        let primary: Int32
        let process = Process()
        private let secondary: FileHandle

        init(_ arguments: [String]) throws {
            primary = open("/dev/ptmx", O_RDWR | O_NOCTTY)
            // TIOCSPTLCK and TIOCGPTN, which are not imported.
            var (lock, number): (Int32, UInt32) = (0, 0)
            #expect(ioctl(primary, 0x4004_5431, &lock) == 0 && ioctl(primary, 0x8004_5430, &number) == 0)
            secondary = try #require(FileHandle(forUpdatingAtPath: "/dev/pts/\(number)"))
            var size = winsize(ws_row: 20, ws_col: 60, ws_xpixel: 0, ws_ypixel: 0)
            #expect(ioctl(primary, UInt(TIOCSWINSZ), &size) == 0)
            process.executableURL = URL(fileURLWithPath: nbdext)
            process.arguments = arguments
            process.standardInput = secondary
            process.standardOutput = secondary
            try process.run()
        }

        /// Whether keys are shown and lines are waited for, as in a shell.
        var isCooked: Bool {
            var state = termios()
            tcgetattr(secondary.fileDescriptor, &state)
            return state.c_lflag & tcflag_t(ICANON) != 0 && state.c_lflag & tcflag_t(ECHO) != 0
        }

        /// Reads until a text has come.
        func read(until text: String) -> String {
            var seen = ""
            var bytes = [UInt8](repeating: 0, count: 4096)
            while !seen.contains(text) {
                let count = Foundation.read(primary, &bytes, bytes.count)
                guard count > 0 else { break }
                seen += String(decoding: bytes[..<count], as: UTF8.self)
            }
            return seen
        }
    }

    @Test("q ends it, and SIGTERM does; the terminal is as it was before", arguments: ["q", "SIGTERM"])
    func ends(by end: String) throws {
        let array = try ServedArray(level: 5, members: 4)
        try array.start()
        let terminal = try Terminal(["top", array.arrayPath, "--interval", "0.2"])
        let picture = terminal.read(until: "flushes/s")
        #expect(picture.contains("\u{1B}[H"))
        #expect(!terminal.isCooked)
        if end == "q" {
            #expect(write(terminal.primary, "xq", 2) == 2)
        } else {
            kill(terminal.process.processIdentifier, SIGTERM)
        }
        // The last pictures are taken off, or the program could not end.
        DispatchQueue.global().async { _ = terminal.read(until: "\u{0}") }
        terminal.process.waitUntilExit()
        #expect(terminal.process.terminationStatus == (end == "q" ? 0 : SIGTERM))
        #expect(terminal.isCooked)
        #expect(array.stop() == 0)
    }
}
