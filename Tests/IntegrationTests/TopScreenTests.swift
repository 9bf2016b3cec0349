import Foundation
import TestTraits
import Testing

/// `nbdext top` on a terminal.
@Suite("top on a terminal", .blocks, .slow)
struct TopScreenTests {
    /// A terminal of 60 columns and 20 rows that a program runs on.
    private struct Terminal {
        let primary: Int32
        let program: Program
        private let secondary: FileHandle

        init(_ arguments: [String]) throws {
            primary = open("/dev/ptmx", O_RDWR | O_NOCTTY)
            // TIOCSPTLCK and TIOCGPTN, which are not imported.
            var (lock, number): (Int32, UInt32) = (0, 0)
            #expect(ioctl(primary, 0x4004_5431, &lock) == 0 && ioctl(primary, 0x8004_5430, &number) == 0)
            secondary = try #require(FileHandle(forUpdatingAtPath: "/dev/pts/\(number)"))
            var size = winsize(ws_row: 20, ws_col: 60, ws_xpixel: 0, ws_ypixel: 0)
            #expect(ioctl(primary, UInt(TIOCSWINSZ), &size) == 0)
            program = try Program(nbdext, arguments, input: secondary, output: secondary)
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
            terminal.program.signal(SIGTERM)
        }
        // The last pictures are taken off, or the program could not end.
        DispatchQueue.global().async { _ = terminal.read(until: "\u{0}") }
        #expect(terminal.program.wait() == (end == "q" ? 0 : 1000 + SIGTERM))
        #expect(terminal.isCooked)
        #expect(array.stop() == 0)
    }
}
