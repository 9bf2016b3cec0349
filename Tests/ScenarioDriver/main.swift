import Glibc
import Platform
import SCSIControllerDriverKit
import Scenarios

// A driver with one mistake, in a process of its own. The argument is a scenario's name.
guard let scenario = Scenario.all.first(where: { $0.name == CommandLine.arguments.last }) else {
    writeDiagnostic("nbdext-scenario-driver: the argument is the name of a scenario\n")
    exit(64)
}
DriverKitMain(scenario.driverClass)
