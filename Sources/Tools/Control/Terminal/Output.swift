import Glibc
import Platform

/// Prints lines, in place of Swift's `print`: what a terminal would take for a command is escaped. A part that others
/// wrote has to be a `ForeignText` where it must not end a line.
package func show(_ text: String, terminator: String = "\n") { print(ForeignText.lines(text), terminator: terminator) }

/// Writes the reason why a command failed, as one line of standard error.
package func writeError(_ error: any Error) { writeDiagnostic("Error: \(ForeignText("\(error)"))\n") }

/// Replaces the terminal's present line.
func drawLine(_ text: String) {
    print("\r\(ForeignText(text))\u{1B}[K", terminator: "")
    fflush(nil)
}
