import DextHost
import Glibc
import Platform

// The driver of a bundle, in C++, as a program. The server starts it with the path of the bundle's library.
guard CommandLine.arguments.count == 2 else {
    writeDiagnostic("this program runs the driver of a bundle: 'nbdext serve --dext NAME.dext' starts it\n")
    exit(64)
}
DextHostMain(library: CommandLine.arguments[1])
