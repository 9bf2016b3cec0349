import Glibc
import Platform

/// Prints a text of several lines, in place of Swift's `print`: what a terminal would take for a command is escaped. What others
/// wrote has to be a `ForeignText` where it must not end a line.
func show(_ text: String, terminator: String = "\n") { print(ForeignText.lines(text), terminator: terminator) }

/// Says why a command could not be done, as one line of standard error.
func writeError(_ error: any Error) { writeDiagnostic("Error: \(ForeignText("\(error)"))\n") }

/// Draws the terminal's present line anew.
func drawLine(_ text: String) {
    print("\r\(ForeignText(text))\u{1B}[K", terminator: "")
    fflush(nil)
}
