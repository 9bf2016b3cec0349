import CEscape
import SCSIControllerDriverKit

// The first argument is what kind of driver it is, or the habit of one that misbehaves.
switch CommandLine.arguments.dropFirst().first {
case "software": DriverKitMain(MyFirstDext.self)
case "scanned": DriverKitMain(ScannedDext.self)
case "without-landlock":
    // No driver at all: runs a server, for a test.
    nbdext_run_without_landlock(CommandLine.unsafeArgv + 2)
case "escapes": DriverKitMain(EscapingDriver.self)
case "prints-and-traps", "prints-and-stops": DriverKitMain(PrintingDriver.self)
default: DriverKitMain(MisbehavingDriver.self)
}
