// Tests of RAIDController.
