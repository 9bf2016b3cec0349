import Glibc
import Platform

/// The terminal of a command that draws one picture after another: its size, and single keys.
///
/// While a screen exists, the terminal does not show keys. The terminal's settings come back when the command ends, by
/// `end` or by a signal.
///
/// Threads: one.
final class TerminalScreen {
    /// The end of a wait.
    enum Event {
        /// The time is over.
        case timedOut
        /// The terminal has another size now.
        case resized
        /// A key was pressed.
        case key(UInt8)
    }

    // SAFETY: written once, before the signal handlers that read it are installed.
    /// The terminal's settings before.
    nonisolated(unsafe) private static var before = termios()
    private let readsKeys: Bool

    /// - Returns: nil when standard output is no terminal.
    init?() {
        guard isatty(STDOUT_FILENO) != 0 else { return nil }
        readsKeys = isatty(STDIN_FILENO) != 0 && tcgetattr(STDIN_FILENO, &Self.before) == 0
        // A handler, so that poll(2) ends.
        signal(SIGWINCH) { _ in }
        guard readsKeys else { return }
        var ends = sigset_t()
        sigemptyset(&ends)
        for number in [SIGINT, SIGTERM, SIGHUP, SIGQUIT] {
            sigaddset(&ends, number)
            signal(number) { number in
                tcsetattr(STDIN_FILENO, TCSANOW, &TerminalScreen.before)
                signal(number, SIG_DFL)
                raise(number)
            }
        }
        // Some parents leave these signals blocked.
        sigprocmask(SIG_UNBLOCK, &ends, nil)
        // After Ctrl-Z and fg, the settings are the shell's.
        signal(SIGCONT) { _ in TerminalScreen.takeKeys() }
        Self.takeKeys()
    }

    private static func takeKeys() {
        var keys = before
        keys.c_lflag &= ~tcflag_t(ICANON | ECHO)
        tcsetattr(STDIN_FILENO, TCSANOW, &keys)
    }

    /// Gives the terminal back.
    func end() {
        guard readsKeys else { return }
        tcsetattr(STDIN_FILENO, TCSANOW, &Self.before)
    }

    /// Columns and rows; 80 and 24 where the terminal does not say.
    var size: (columns: Int, rows: Int) {
        var size = winsize()
        guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0, size.ws_row > 0 else {
            return (80, 24)
        }
        return (Int(size.ws_col), Int(size.ws_row))
    }

    /// Waits for a key or a new size of the terminal.
    ///
    /// - Parameter milliseconds: the longest wait.
    func wait(milliseconds: Int32) -> Event {
        var polled = pollfd(fd: readsKeys ? STDIN_FILENO : -1, events: Int16(POLLIN), revents: 0)
        let count = poll(&polled, 1, milliseconds)
        if count < 0 { return .resized }
        var key: UInt8 = 0
        guard count > 0 else { return .timedOut }
        guard read(STDIN_FILENO, &key, 1) == 1 else {
            // The terminal is gone, and SIGHUP is on its way.
            usleep(100_000)
            return .timedOut
        }
        return .key(key)
    }

    /// Draws lines from the top of the screen; the caller has made them fit. Each line is cleared behind its end, and
    /// then the rest of the screen, so nothing flickers.
    func draw(_ lines: [String]) {
        let lines = lines.map { ForeignText($0).description }
        print("\u{1B}[H" + lines.joined(separator: "\u{1B}[K\n") + "\u{1B}[J", terminator: "")
        fflush(nil)
    }
}

/// Makes pictures fit a terminal.
package enum TerminalPicture {
    /// Cuts long lines. Of too many lines, empty ones are left out first, then the last ones; the last line then says
    /// how many.
    package static func fit(_ lines: [String], columns: Int, rows: Int) -> [String] {
        var shown = lines
        if shown.count > rows { shown.removeAll { $0.isEmpty } }
        if shown.count > rows {
            let hidden = shown.count - max(rows - 1, 0)
            shown = shown.prefix(max(rows - 1, 0)) + ["(\(hidden) more lines; enlarge the terminal)"]
        }
        return shown.prefix(rows).map { String($0.prefix(columns)) }
    }
}
