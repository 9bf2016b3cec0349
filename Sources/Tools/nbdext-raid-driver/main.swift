import RAIDDriver
import SCSIControllerDriverKit

DriverKitMain(RAIDDriver.self)
