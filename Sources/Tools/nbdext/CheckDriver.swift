import ArgumentParser
import Control
import DextBundle
import DriverCheck
import DriverHost
import Glibc
import Platform

struct CheckDriver: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check-driver",
        abstract: "Checks a driver: life cycle, data, many requests, resets, stress, stop, restart.",
        usage: "nbdext check-driver <program or bundle> [<options>]",
        discussion: """
            The driver runs in its own process, below the whole stack. A fault that the detectors name fails the \
            current check. Exits with 0 when nothing failed, and with 1 otherwise.

            EXAMPLES
              nbdext check-driver Examples/MyFirstDext/.build/debug/MyFirstDext
              nbdext check-driver MyFirstDextCPP.dext
              nbdext check-driver .build/debug/nbdext-raid-driver --card --mode bundled
            """)

    @Argument(help: "The driver's program, whose main function calls DriverKitMain, or the bundle of a C++ driver.")
    var program: String
    @Option(help: "How tasks reach the driver: bundled or legacy. (default: both, one after the other)")
    var mode: DriverMode?
    @Flag(help: "The driver drives the RAID card, and gets a temporary array. Otherwise it brings its own targets.")
    var card = false
    @Option(help: "An argument for the driver's program; may be repeated.")
    var driverArgument: [String] = []
    @Flag(help: "Print JSON.")
    var json = false

    func validate() throws {
        if mode == .kext { throw ValidationError("a KEXT is a part of the kernel; use bundled or legacy") }
    }

    func run() throws {
        signal(SIGPIPE, SIG_IGN)
        var options = try CheckOptions(driver: driver(), name: program)
        options.usesCard = card
        if let mode { options.modes = [mode] }
        let report = try DriverCheck(options) { [json] result in
            if json { return }
            show(ForeignText(result.line).description)
            fflush(nil)
        }.run()
        show(json ? try JSONText.line(report) : report.text)
        if !report.hasPassed { throw ExitCode.failure }
    }

    private func driver() throws -> DriverProgram {
        if Directory.isDirectory(program) {
            guard driverArgument.isEmpty else {
                throw ValidationError("--driver-argument is for a program; a bundle takes none")
            }
            return try DriverProgram(DextBundle(path: program))
        }
        guard access(program, X_OK) == 0 else { throw OperationError("\(program) is not a program that can be run") }
        return DriverProgram(path: program, arguments: driverArgument)
    }
}
