import Glibc
import Platform

/// The terminal of a command that draws pictures again and again: its size, and keys without waiting for a line.
///
/// While one exists, keys are not shown. The terminal is as it was before when the command ends, however it ends: `end`,
/// or a signal. Threads: one.
final class TerminalScreen {
    /// What a wait has ended with.
    enum Event {
        case timedOut
        /// The terminal has another size now.
        case resized
        case key(UInt8)
    }

    // SAFETY: written once, before the signal handlers that read it are installed.
    /// As it was; for the signals' handler, and written before that is there.
    nonisolated(unsafe) private static var before = termios()
    private let readsKeys: Bool

    /// - Returns: nil when standard output is no terminal.
    init?() {
        guard isatty(STDOUT_FILENO) != 0 else { return nil }
        readsKeys = isatty(STDIN_FILENO) != 0 && tcgetattr(STDIN_FILENO, &Self.before) == 0
        // So that a wait ends.
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
        // Some parents leave them blocked.
        sigprocmask(SIG_UNBLOCK, &ends, nil)
        // Back from having been stopped by Ctrl-Z: the shell has set its own.
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

    /// Waits for a key, or until the terminal's size changes, at most so long.
    func wait(milliseconds: Int32) -> Event {
        var polled = pollfd(fd: readsKeys ? STDIN_FILENO : -1, events: Int16(POLLIN), revents: 0)
        let count = poll(&polled, 1, milliseconds)
        if count < 0 { return .resized }
        var key: UInt8 = 0
        guard count > 0 else { return .timedOut }
        guard read(STDIN_FILENO, &key, 1) == 1 else {
            // The terminal is gone, and a signal will say so.
            usleep(100_000)
            return .timedOut
        }
        return .key(key)
    }

    /// Draws from the first line on, no more than fits. Each line is cleared to its end, and then the rest of the screen:
    /// nothing flickers.
    func draw(_ lines: [String]) {
        let lines = lines.map { ForeignText($0).description }
        print("\u{1B}[H" + lines.joined(separator: "\u{1B}[K\n") + "\u{1B}[J", terminator: "")
        fflush(nil)
    }
}

/// A picture that fits a terminal.
enum TerminalPicture {
    /// Cuts lines that are too long. When there are too many, empty ones are left out first, and then the last ones, which
    /// the last line says.
    static func fit(_ lines: [String], columns: Int, rows: Int) -> [String] {
        var shown = lines
        if shown.count > rows { shown.removeAll { $0.isEmpty } }
        if shown.count > rows {
            let hidden = shown.count - max(rows - 1, 0)
            shown = shown.prefix(max(rows - 1, 0)) + ["(\(hidden) more lines; make the terminal higher)"]
        }
        return shown.prefix(rows).map { String($0.prefix(columns)) }
    }
}
